// The arithmetic of a model: kernels.wasm where the browser has WebAssembly with SIMD, else the same here, to the last bit.
// A fused multiply-add is done in doubles, where the product is exact, and rounded to a float once more.

const f = Math.fround;

function plainKernels(buffer) {
  const floats = new Float32Array(buffer), bytes = new Int8Array(buffer), shorts = new Int16Array(buffer);
  const bits = new Int32Array(1), asFloat = new Float32Array(bits.buffer);

  // e^r - 1 and 2^n in `power`, with x = n ln 2 + r
  let power = 1;
  function reduced(x) {
    const shifted = f(x * f(1.44269504) + 12582912), n = f(shifted - 12582912);
    const r = f(n * f(-1.42860677e-6) + f(n * f(-0.693145752) + x));
    bits[0] = (n + 127) << 23;
    power = asFloat[0];
    let p = f(f(1 / 5040) * r + f(1 / 720));
    p = f(p * r + f(1 / 120));
    p = f(p * r + f(1 / 24));
    p = f(p * r + f(1 / 6));
    p = f(p * r + 0.5);
    return f(f(p * r) * r + r);
  }
  function sigmoid(x) {
    const rest = reduced(-Math.max(Math.min(x, 87), -87));
    return f(1 / f(1 + f(power * rest + power)));
  }
  function tanh(x) {
    const a = Math.min(Math.abs(x), f(9.1)), rest = reduced(f(a + a)), m = f(power * rest + f(power - 1));
    const y = f(m / f(m + 2));
    return x < 0 ? -y : y;
  }

  return {
    gates(cell, hidden, gx, gh, candidate, c, h) {
      [gx, gh, candidate, c, h] = [gx >> 2, gh >> 2, candidate >> 2, c >> 2, h >> 2];
      const sum = (gate, i) => f(floats[gx + gate * hidden + i] + floats[gh + gate * hidden + i]);
      for (let i = 0; i < hidden; ++i) {
        if (cell === 3) {
          const input = sigmoid(sum(0, i)), forget = sigmoid(sum(1, i)), g = tanh(sum(2, i)), o = sigmoid(sum(3, i));
          const now = f(forget * floats[c + i] + f(input * g));
          floats[c + i] = now;
          floats[h + i] = f(o * tanh(now));
        } else if (cell === 2) {
          const r = sigmoid(sum(0, i)), z = sigmoid(sum(1, i)), at = 2 * hidden + i;
          const n = tanh(f(r * f(floats[gh + at] + floats[candidate + i]) + floats[gx + at]));
          floats[h + i] = f(z * f(floats[h + i] - n) + n);
        } else floats[h + i] = cell === 1 ? Math.max(sum(0, i), 0) : tanh(sum(0, i));
      }
    },

    quantize(x, n, q) {
      [x, q] = [x >> 2, q >> 1];
      let top = 0;
      for (let i = 0; i < n; ++i) top = Math.max(top, Math.abs(floats[x + i]));
      const scale = top > 1e-30 ? f(top / 127) : 1, inverse = f(1 / scale);
      for (let i = 0; i < n; ++i) shorts[q + i] = f(floats[x + i] * inverse + 12582912) - 12582912;
      return scale;
    },

    product(w, rows, depth, scale, bias, q, xScale, y) {
      [scale, bias, q, y] = [scale >> 2, bias >> 2, q >> 1, y >> 2];
      const x = shorts.subarray(q, q + depth);
      for (let row = 0; row < rows; ++row, w += depth) {
        let total = 0;
        for (let k = 0; k < depth; ++k) total = (total + bytes[w + k] * x[k]) | 0;
        floats[y + row] = f(f(total) * f(floats[scale + row] * xScale) + floats[bias + row]);
      }
    },
  };
}

const PAGE = 65536, FIRST = 65536; // bytes of a WebAssembly page; what is below the arrays is the compiled code's own

// Memory of `size` bytes with the kernels on it: {buffer, kernels, wasm}.
function openKernels(size, compiled) {
  const pages = Math.ceil((size + FIRST) / PAGE);
  try {
    if (compiled && typeof WebAssembly === "object") {
      const memory = new WebAssembly.Memory({ initial: pages });
      const module = new WebAssembly.Module(compiled);
      return { buffer: memory.buffer, kernels: new WebAssembly.Instance(module, { env: { memory } }).exports, wasm: true };
    }
  } catch (error) {
    if (error instanceof RangeError) throw error; // no memory for the model, here or there
  }
  const buffer = new ArrayBuffer(pages * PAGE);
  return { buffer, kernels: plainKernels(buffer), wasm: false };
}
