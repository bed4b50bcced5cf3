// From what the file holds to a Writer.

function fromBase64(text) {
  const size = (text.length / 4) * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
  const bytes = new Uint8Array(size), STEP = 1 << 16; // characters at a time: the browser's own function takes strings
  for (let at = 0, to = 0; at < text.length; at += STEP) {
    const part = atob(text.slice(at, at + STEP));
    for (let i = 0; i < part.length; ++i) bytes[to++] = part.charCodeAt(i);
  }
  return bytes;
}

const TYPES = { int8: Int8Array, uint8: Uint8Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, float32: Float32Array, float64: Float64Array };

function openModel(kind, config, arrays, kernels) {
  if (kind === "ngram") return new NgramModel(config, arrays);
  if (kind === "context-mixing") return new MixingModel(config, arrays);
  if (kind !== "mixture") return new RecurrentModel(config, arrays, kernels);
  const parts = config.parts.map((part, k) => openModel(part.kind, part.model, (name) => arrays(`${k}.${name}`), kernels));
  return config.gate ? new GatedMixture(parts, config.gate, config.newline) : new LinearMixture(parts, config.weights);
}

// The arrays of a page that has them deflated.
async function inflated(bytes) {
  if (typeof DecompressionStream === "undefined") throw new UsageError("old");
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
}

// page: the description of the model. weights, kernels: its arrays and the compiled kernels (null: JavaScript alone), bytes.
function openWriter(page, weights, kernels) {
  const arrays = (name) => {
    const { type, at, size } = page.arrays[name];
    return new TYPES[type](weights.buffer, weights.byteOffset + at, size);
  };
  const writer = new Writer(page, openModel(page.kind, page.model, arrays, kernels));
  writer.lexicon = page.form && page.form.words ? new Lexicon(writer.tokenizer, page.form) : null;
  return writer;
}
