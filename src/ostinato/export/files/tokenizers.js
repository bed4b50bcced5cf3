// Text to token ids and back: 0 is the end of a document, 1 .. 256 are bytes, then the characters, then the words.

const END = 0, FIRST_BYTE = 1, FIRST_CHARACTER = 257;
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"; // as Python has it
const strip = (text) => text.replace(new RegExp(`^[${SPACE}]+|[${SPACE}]+$`, "g"), "");
const isBlank = (text) => !strip(text);
const utf8 = new TextEncoder();
const fromUtf8 = (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));

class Tokenizer {
  constructor({ kind, characters = "", words = [], padded = false }) {
    this.kind = kind;
    this.padded = padded;
    this.characters = [...characters];
    this.words = words;
    this.firstWord = FIRST_CHARACTER + this.characters.length;
    this.size = this.firstWord + words.length;
    this.characterIds = new Map(this.characters.map((text, n) => [text, FIRST_CHARACTER + n]));
    this.wordIds = new Map(words.map((word, n) => [word, this.firstWord + n]));
    this.longest = words.reduce((most, word) => Math.max(most, word.length), 1);
  }

  encode(text) {
    const ids = [];
    if (this.kind === "word") for (const part of this.#cut(text)) this.#word(part, ids);
    else if (this.kind === "whitespace") this.#spaced(text, ids);
    else this.#spell(text, ids);
    return ids;
  }

  // The readable name of a token.
  token(id) {
    if (id === END) return "<end>";
    if (id < FIRST_CHARACTER) return `<${(id - FIRST_BYTE).toString(16).toUpperCase().padStart(2, "0")}>`;
    return id < this.firstWord ? this.characters[id - FIRST_CHARACTER] : this.words[id - this.firstWord];
  }

  decode(ids) {
    let text = "", bytes = [], before = END;
    const flush = () => {
      if (bytes.length) text += fromUtf8(bytes);
      bytes = [];
    };
    for (const id of ids) {
      if (id >= FIRST_BYTE && id < FIRST_CHARACTER) bytes.push(id - FIRST_BYTE);
      else if (id !== END) {
        flush();
        const word = id >= this.firstWord && this.kind === "whitespace";
        text += (word && (this.padded || before >= this.firstWord) ? " " : "") + this.token(id);
      }
      before = id;
    }
    flush();
    return text;
  }

  #spell(text, ids) {
    for (const character of text) {
      const known = this.characterIds.get(character);
      if (known !== undefined) ids.push(known);
      else for (const byte of utf8.encode(character)) ids.push(byte + FIRST_BYTE);
    }
  }

  // Runs of Han, words of other scripts with the blank before them, single characters.
  #cut(text) {
    const han = "\\u3005\\u3007\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\u{20000}-\\u{3ffff}";
    const single = "\\u0e00-\\u0eff\\u0f00-\\u109f\\u1780-\\u17ff\\u1950-\\u19ff\\u1a20-\\u1aaf\\u3041-\\u309f\\ua9e0-\\ua9ff\\uaa60-\\uaadf";
    const letter = `(?![${han}${single}])[\\p{L}\\p{N}]`, word = `(?:${letter})+(?:\\p{M}+(?:${letter})*)*`;
    return text.match(new RegExp(`[${han}]+| ?${word}(?:['’]${word})*|[^]`, "gu")) || [];
  }

  #word(part, ids) {
    const known = (text) => this.wordIds.get(text) ?? this.characterIds.get(text);
    const whole = known(part);
    if (whole !== undefined) ids.push(whole);
    else if (/^[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{3ffff}]/u.test(part)) this.#longest([...part], ids);
    else if (part[0] === " " && known(part.slice(1)) !== undefined) {
      this.#spell(" ", ids);
      ids.push(known(part.slice(1)));
    } else this.#spell(part, ids);
  }

  // A run of Han, the longest word of the vocabulary first.
  #longest(characters, ids) {
    for (let at = 0; at < characters.length; ) {
      let size = Math.min(this.longest, characters.length - at);
      while (size > 1 && !this.wordIds.has(characters.slice(at, at + size).join(""))) --size;
      const piece = characters.slice(at, at + size).join("");
      if (size > 1) ids.push(this.wordIds.get(piece));
      else this.#spell(piece, ids);
      at += size;
    }
  }

  #spaced(text, ids) {
    const word = `[^${SPACE}]+`;
    const pattern = this.padded ? ` (?:${word}|\\n)|${word}|[^]` : ` ?${word}|[^]`;
    let afterWord = false;
    for (const part of text.match(new RegExp(pattern, "gu")) || []) {
      const blank = part[0] === " ", known = this.wordIds.get(blank ? part.slice(1) : part);
      if (known === undefined || (this.padded && !blank)) {
        this.#spell(part, ids);
        afterWord = false;
        continue;
      }
      if (!this.padded && blank && !afterWord) this.#spell(" ", ids);
      ids.push(known);
      afterWord = true;
    }
  }
}

// Where a text stands inside a UTF-8 character; state 0 is between characters (Unicode standard, table 3-7).
const PENDING = {
  1: [0x80, 0xbf, 0], 2: [0x80, 0xbf, 1], 3: [0x80, 0xbf, 2], 4: [0xa0, 0xbf, 1], 5: [0x80, 0x9f, 1], 6: [0x90, 0xbf, 2],
  7: [0x80, 0x8f, 2],
};
const LEADS = [[0xf4, 0xf4, 7], [0xf0, 0xf0, 6], [0xf0, 0xf4, 3], [0xed, 0xed, 5], [0xe0, 0xe0, 4], [0xe0, 0xef, 2], [0xc2, 0xdf, 1]];

function afterByte(state, byte) {
  const within = ([low, high]) => byte >= low && byte <= high;
  if (state && within(PENDING[state])) return PENDING[state][2];
  const lead = LEADS.find(within);
  return lead ? lead[2] : 0;
}

const afterToken = (state, id) => (id >= FIRST_BYTE && id < FIRST_CHARACTER ? afterByte(state, id - FIRST_BYTE) : 0);

// Bytes that may not come in a state: continuations between characters, and control characters, which no text needs.
function byteAllowed(state, byte) {
  if (state) return byte >= PENDING[state][0] && byte <= PENDING[state][1];
  return byte === 9 || byte === 10 || (byte >= 0x20 && byte < 0x7f) || (byte >= 0xc2 && byte <= 0xf4);
}

// Ids in, text out, as soon as it is certain.
class TextStream {
  constructor(tokenizer) {
    this.tokenizer = tokenizer;
    this.context = [];
    this.pending = [];
    this.state = 0;
  }

  push(id) {
    if (id === END) {
      this.context = [];
      if (this.pending.length) this.pending.push(id);
      return "";
    }
    this.pending.push(id);
    this.state = afterToken(this.state, id);
    if (this.state) return "";
    const before = this.tokenizer.decode(this.context).length;
    const text = this.tokenizer.decode([...this.context, ...this.pending]).slice(before);
    this.context = id >= FIRST_CHARACTER ? [id] : [];
    this.pending = [];
    return text;
  }
}
