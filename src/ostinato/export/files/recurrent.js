// A recurrent language model with int8 weights, one token at a time: the model of `--precision int8`.

const CELLS = { rnn: 0, "rnn-relu": 1, gru: 2, lstm: 3 }, GATES = { rnn: 1, "rnn-relu": 1, gru: 3, lstm: 4 };
const padded = (n, to = 16) => Math.ceil(n / to) * to;

// Places for arrays one after the other, before there is any memory.
class Places {
  constructor() { this.end = FIRST; }
  take(bytes) {
    const at = this.end;
    this.end = padded(at + bytes);
    return at;
  }
}

class RecurrentModel {
  // config: cell, layers, hidden_size, embedding_size, vocabulary_size, tied. arrays(name): a typed array of the model's.
  constructor(config, arrays, compiled) {
    this.config = config;
    this.vocabularySize = config.vocabulary_size;
    const H = config.hidden_size, E = config.embedding_size, V = config.vocabulary_size;
    this.hidden = padded(H);
    this.gateRows = GATES[config.cell] * this.hidden;
    const places = new Places(), layers = [...Array(config.layers).keys()], tied = config.tied;
    const matrix = (rows, columns) => ({
      rows: padded(rows, 4), depth: padded(columns), at: places.take(padded(rows, 4) * padded(columns)),
      scale: places.take(4 * padded(rows, 4)), bias: places.take(4 * padded(rows, 4)),
    });
    const vector = (columns) => ({ q: places.take(2 * padded(columns)), scale: 1, depth: padded(columns) });
    this.layers = layers.map((k) => ({
      recurrent: matrix(this.gateRows, H),
      input: k > 0 || E > 0 ? matrix(this.gateRows, k > 0 ? H : E) : null,
      bias: places.take(4 * this.gateRows),
      candidate: places.take(4 * this.hidden),
      h: places.take(4 * this.hidden), c: places.take(4 * this.hidden), read: vector(H),
    }));
    this.head = matrix(V, tied ? E : H);
    this.projection = tied && E !== H ? matrix(E, H) : null;
    this.gx = places.take(4 * this.gateRows);
    this.gh = places.take(4 * this.gateRows);
    this.embedded = vector(E);
    this.projected = { ...vector(E), at: places.take(4 * padded(E)) };
    this.logitsAt = places.take(4 * padded(V, 4));
    const room = E > 0 ? Math.min(V, Math.floor((8 << 20) / (4 * this.gateRows))) : 0;
    this.tableAt = places.take(4 * this.gateRows * room); // the first layer's products of tokens met before
    this.table = new Int32Array(V);
    this.tableRoom = room;
    this.tableSize = 0;
    const { buffer, kernels, wasm } = openKernels(places.end, compiled);
    this.kernels = kernels;
    this.wasm = wasm;
    this.floats = new Float32Array(buffer);
    this.shorts = new Int16Array(buffer);
    this.bytes = new Int8Array(buffer);
    this.logits = this.floats.subarray(this.logitsAt >> 2, (this.logitsAt >> 2) + V);
    this.#fill(arrays);
  }

  #fill(arrays) {
    const { hidden_size: H, embedding_size: E, vocabulary_size: V, tied } = this.config;
    const gatePlace = (row) => Math.floor(row / H) * this.hidden + (row % H);
    this.layers.forEach((layer, k) => {
      this.#set(layer.recurrent, arrays(`recurrent.weight_hh_l${k}`), arrays(`recurrent.weight_hh_l${k}.scale`), H, gatePlace);
      const bias = arrays(`bias_l${k}`), target = layer.input ? layer.input.bias : layer.bias;
      bias.forEach((value, row) => (this.floats[(target >> 2) + gatePlace(row)] = value));
      if (this.config.cell === "gru") this.floats.set(arrays(`candidate_l${k}`), layer.candidate >> 2);
      if (!layer.input) return;
      const name = `recurrent.weight_ih_l${k}`;
      this.#set(layer.input, arrays(name), arrays(`${name}.scale`), k > 0 ? H : E, gatePlace);
    });
    const head = tied ? "embedding.weight" : "head.weight";
    this.#set(this.head, arrays(head), arrays(`${head}.scale`), tied ? E : H, (row) => row);
    this.floats.set(arrays("head.bias"), this.head.bias >> 2);
    if (this.projection)
      this.#set(this.projection, arrays("projection.weight"), arrays("projection.weight.scale"), H, (row) => row);
    if (!E) {
      this.columns = arrays("recurrent.weight_ih_l0"); // (V, rows): a one-hot input picks a row, kept in full precision
      return;
    }
    this.embedding = tied ? null : arrays("embedding.weight");
    this.embeddingScale = arrays("embedding.weight.scale");
  }

  #set(matrix, values, scale, columns, place) {
    for (let row = 0; row < scale.length; ++row) {
      const to = place(row);
      this.bytes.set(values.subarray(row * columns, (row + 1) * columns), matrix.at + to * matrix.depth);
      this.floats[(matrix.scale >> 2) + to] = scale[row];
    }
  }

  // A state: h of every layer, then, for an LSTM, c of every layer.
  initialState() {
    return new Float32Array(this.layers.length * this.hidden * (this.config.cell === "lstm" ? 2 : 1));
  }

  copy(state) { return state.slice(); }

  // Read token `id` after `state`, in place; `logits` has the scores of the next one, unless they are not wanted.
  step(id, state, wanted = true) {
    const { kernels, floats, hidden, layers } = this, cell = CELLS[this.config.cell];
    let gx = this.#inputOf(id);
    layers.forEach((layer, k) => {
      const h = layer.h >> 2, c = layer.c >> 2, cells = (layers.length + k) * hidden;
      floats.set(state.subarray(k * hidden, (k + 1) * hidden), h);
      if (cell === 3) floats.set(state.subarray(cells, cells + hidden), c);
      if (k > 0) gx = this.#multiply(layer.input, layers[k - 1].read, this.gx);
      layer.read.scale = kernels.quantize(layer.h, hidden, layer.read.q);
      this.#multiply(layer.recurrent, layer.read, this.gh);
      kernels.gates(cell, hidden, gx, this.gh, layer.candidate, layer.c, layer.h);
      layer.read.scale = kernels.quantize(layer.h, hidden, layer.read.q);
      state.set(floats.subarray(h, h + hidden), k * hidden);
      if (cell === 3) state.set(floats.subarray(c, c + hidden), cells);
    });
    if (wanted) this.#predict(layers[layers.length - 1].read);
  }

  #predict(read) {
    if (this.projection) {
      this.#multiply(this.projection, read, this.projected.at);
      this.projected.scale = this.kernels.quantize(this.projected.at, this.projected.depth, this.projected.q);
      read = this.projected;
    }
    this.#multiply(this.head, read, this.logitsAt);
  }

  #multiply(matrix, x, y) {
    this.kernels.product(matrix.at, matrix.rows, matrix.depth, matrix.scale, matrix.bias, x.q, x.scale, y);
    return y;
  }

  // Where the first layer's product with token `id` is, bias included.
  #inputOf(id) {
    const { floats, config, gateRows } = this, H = config.hidden_size, E = config.embedding_size;
    if (!E) {
      const rows = GATES[config.cell] * H, at = this.gx >> 2, bias = this.layers[0].bias >> 2;
      for (let row = 0; row < rows; ++row) {
        const to = Math.floor(row / H) * this.hidden + (row % H);
        floats[at + to] = f(this.columns[id * rows + row] + floats[bias + to]);
      }
      return this.gx;
    }
    if (this.table[id]) return this.tableAt + 4 * gateRows * (this.table[id] - 1);
    const q = this.embedded.q >> 1, tied = this.head.at + id * this.head.depth;
    const row = this.embedding ? this.embedding.subarray(id * E, (id + 1) * E) : this.bytes.subarray(tied, tied + E);
    this.shorts.set(row, q);
    this.embedded.scale = this.embeddingScale[id];
    if (this.config.tied) this.embedded.scale = this.#scaleAgain(row, this.embedded.scale);
    const kept = this.tableSize < this.tableRoom;
    if (kept) this.table[id] = ++this.tableSize;
    return this.#multiply(this.layers[0].input, this.embedded, kept ? this.tableAt + 4 * gateRows * (this.tableSize - 1) : this.gx);
  }

  // The scale of a row of whole numbers times `scale` that is quantized once more.
  #scaleAgain(row, scale) {
    let top = 0;
    for (const value of row) top = Math.max(top, Math.abs(value));
    const largest = f(top * scale);
    return largest > 1e-30 ? f(largest / 127) : 1;
  }
}
