"""No module imports itself through others, not even inside a function or for its types alone."""

import graphlib

import grimp


def test_no_import_cycles():
    graph = grimp.build_graph("ostinato")
    imports = {}
    for module in graph.modules:
        # a package's __init__ names what its own modules have; it is the front of the room, not a part of the way
        found = graph.find_modules_directly_imported_by(module)
        imports[module] = {name for name in found if not name.startswith(f"{module}.")}
    order = tuple(graphlib.TopologicalSorter(imports).static_order())
    assert len(order) == len(graph.modules)
