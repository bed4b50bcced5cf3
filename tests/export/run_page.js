// Runs the script of an exported page without a browser: node run_page.js PAGE.html < requests.json > answers.json
const fs = require("fs");
const vm = require("vm");

const html = fs.readFileSync(process.argv[2], "utf8");
const part = (id) => html.match(new RegExp(`<script type="[^"]+" id="${id}">([^]*?)</script>`))[1];
const script = html.match(/<script>\n([^]*?)<\/script>/)[1];
const context = vm.createContext({ TextEncoder, TextDecoder, WebAssembly, atob, performance, console, Blob, Response, DecompressionStream });
vm.runInContext(script, context);
const { ostinato } = context;

const page = JSON.parse(part("model"));
const asked = JSON.parse(fs.readFileSync(0, "utf8"));
const kernels = asked.wasm === false ? null : ostinato.fromBase64(part("kernels"));
const weights = ostinato.fromBase64(part("weights"));

(async () => {
  const writer = ostinato.openWriter(page, page.deflated ? await ostinato.inflated(weights) : weights, kernels);
  const answers = asked.requests.map((request) => {
    if (request.encode !== undefined) {
      const ids = writer.encode(request.encode);
      return { ids, text: writer.tokenizer.decode(ids) };
    }
    if (request.uniforms) return request.uniforms.map(([seed, row, at]) => ostinato.uniform(ostinato.rowKey(BigInt(seed), row), at));
    if (request.ids) {
      const state = writer.model.initialState();
      return request.ids.map((id) => {
        writer.model.step(id, state);
        return [...writer.model.logits];
      });
    }
    const start = performance.now();
    const ids = [];
    let last = null;
    try {
      for (const event of writer[request.form ? "writeForm" : "write"]({ ...request, seed: BigInt(request.seed) })) {
        if (event.id !== undefined) ids.push(event.id);
        last = event;
      }
    } catch (error) {
      if (error.stack.startsWith("TypeError") || error.stack.startsWith("ReferenceError")) throw error;
      return { error: error.message };
    }
    return { ...last, ids, seconds: (performance.now() - start) / 1000 };
  });
  process.stdout.write(JSON.stringify({ wasm: Boolean(writer.model.wasm), answers }));
})();
