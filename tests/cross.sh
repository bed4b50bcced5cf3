#!/usr/bin/env bash
# The kernels for other systems, cross-compiled by Zig's C++ compiler (a Clang with the systems' headers), and what they
# export. Nothing runs: whether it builds, links, and shows the plain C interface alone. With arguments, these targets:
#     tests/cross.sh x86_64-windows-gnu aarch64-macos
# Zig is `zig` on the path or the Python package ziglang; without it nothing is built, and one line says why.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/cross
python=${PYTHON:-.venv/bin/python}

skip() { echo "nothing is cross-compiled: $1"; exit 0; }
command -v cmake >/dev/null || skip "cmake is not installed"
if command -v zig >/dev/null; then zig=(zig)
elif "$python" -m ziglang version >/dev/null 2>&1; then zig=("$python" -m ziglang)
else skip "there is no Zig (pip install ziglang)"
fi
mkdir -p "$out"
export ZIG_GLOBAL_CACHE_DIR=${ZIG_GLOBAL_CACHE_DIR:-$out/cache} ZIG_LOCAL_CACHE_DIR=${ZIG_LOCAL_CACHE_DIR:-$out/cache}

# build TARGET SYSTEM PROCESSOR: into build/cross/TARGET
build() {
  local target=$1 compiler=$out/$1.compiler
  # Zig knows macOS's dynamic libraries, not its bundles, which hold the same.
  cat > "$compiler" <<END
#!/bin/sh
for each; do
  shift
  [ "\$each" = -bundle ] && each=-dynamiclib
  set -- "\$@" "\$each"
done
exec ${zig[*]} c++ -target $target "\$@"
END
  chmod +x "$compiler"
  # Static try-outs: linking each would build Zig's C++ library anew for every set of flags.
  cmake -S . -B "$out/$target" -DCMAKE_SYSTEM_NAME="$2" -DCMAKE_SYSTEM_PROCESSOR="$3" -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY --no-warn-unused-cli -DCMAKE_INSTALL_NAME_TOOL=true \
    -DOSTINATO_OUTPUT="$out/$target/library" > "$out/$target.log"
  cmake --build "$out/$target" --parallel "$(nproc)" >> "$out/$target.log" 2>&1 || { grep -m 20 error "$out/$target.log"; return 1; }
}

# What the library exports, one name per line; nothing where no tool reads it.
exported() {
  if [ "${1##*.}" = dll ]; then objdump -p "$1" 2>/dev/null | sed -n '/Ordinal\/Name Pointer/,/^$/p' | awk '/^[[:space:]]*\[ *[0-9]/ {print $NF}'
  else { llvm-nm -D --defined-only "$1" 2>/dev/null || llvm-nm -g --defined-only "$1" 2>/dev/null || true; } | awk '{print $NF}' | sed 's/^_ostinato/ostinato/'
  fi
}

targets=("$@")
[ $# -gt 0 ] || targets=(x86_64-windows-gnu aarch64-macos x86_64-macos x86_64-linux-musl aarch64-linux-musl)
status=0
for target in "${targets[@]}"; do
  case $target in
    *windows*) system=Windows ;; *macos*) system=Darwin ;; *) system=Linux ;;
  esac
  build "$target" $system "${target%%-*}" || { echo "$target: does not build ($out/$target.log)"; status=1; continue; }
  library=$(ls "$out/$target/library"/libostinato.*[a-z] | grep -E '\.(dll|so|dylib)$')
  names=$(exported "$library")
  # For macOS Zig links its own C++ library, which shows its allocation (__Z...); the real one is a part of the system.
  foreign=$(echo "$names" | grep -vE '^(ostinato_.*|_init|_fini|__Z.*|___dso_handle|__mh_dylib_header|)$' || true)
  [ -z "$foreign" ] || { echo "$target exports more than the C interface: $(echo "$foreign" | head -5 | tr '\n' ' ')"; status=1; }
  echo "$target: built, $(echo "$names" | grep -c '^ostinato_' || true) functions exported"
done
exit $status
