// What the page says, in its languages.

const WORDS = {
  en: {
    language: "Language", prompt: "Begin with", promptHint: "A few words, or nothing", titleOf: "Title", titleHint: "made up if left empty",
    temperature: "Temperature", topP: "Top p", seed: "Seed", seedHint: "new each time", lines: "Lines", count: "Texts",
    more: "More", tokens: "Tokens at most", stop: "Stop at this text", topK: "Top k", minP: "Min p", penalty: "Repetition penalty",
    write: "Write", halt: "Stop", copy: "Copy", save: "Save", print: "Print", colours: "Colour by surprise", texts: "Texts",
    card: "About this model", copied: "Copied.", notCopied: "The browser did not allow copying: select the text and copy it.",
    loading: "Opening the model …", writing: "Writing …", halted: "Stopped.",
    tokensOf: (tokens, speed, seed) => `${tokens} tokens, ${speed} per second · seed ${seed}`,
    about: (kind, tokens, size, wasm) => `${kind}, ${tokens} tokens in its vocabulary, ${size}${wasm ? "" : ", without WebAssembly"} · works offline`,
    surprise: (bits) => `${bits} bits of surprise`, unseen: "blank", newline: "new line", endToken: "end",
    noTitles: "This model's texts have no titles.", titleLine: "A title is one line.", twoTitles: "The prompt has a title already: leave one of them out.",
    nothing: "Nothing can be written here: no token is allowed by what was asked for.", seedWrong: "The seed must be a whole number from 0 to 2^64 - 1.",
    memory: "There is not enough memory for this model.", damaged: "This file is not whole: copy or export it again.",
  },
  zh: {
    language: "语言", prompt: "开头", promptHint: "几个字，也可留空", titleOf: "标题", titleHint: "留空则自拟",
    temperature: "温度", topP: "Top p", seed: "随机种子", seedHint: "每次不同", lines: "行数", count: "篇数",
    more: "更多", tokens: "最多词元数", stop: "遇此文字停止", topK: "Top k", minP: "Min p", penalty: "重复惩罚",
    write: "写", halt: "停止", copy: "复制", save: "保存", print: "打印", colours: "按意外程度着色", texts: "作品",
    card: "关于此模型", copied: "已复制。", notCopied: "浏览器不允许复制：请选中文字后复制。",
    loading: "正在打开模型……", writing: "正在写……", halted: "已停止。",
    tokensOf: (tokens, speed, seed) => `${tokens} 个词元，每秒 ${speed} 个 · 种子 ${seed}`,
    about: (kind, tokens, size, wasm) => `${kind}，词表 ${tokens} 个词元，${size}${wasm ? "" : "，未用 WebAssembly"} · 可离线使用`,
    surprise: (bits) => `意外程度 ${bits} 比特`, unseen: "空格", newline: "换行", endToken: "结束",
    noTitles: "此模型的文本没有标题。", titleLine: "标题只能有一行。", twoTitles: "开头已有标题：请去掉其中一个。",
    nothing: "无法继续：没有词元符合要求。", seedWrong: "种子须为 0 到 2^64 - 1 的整数。",
    memory: "内存不足，无法打开此模型。", damaged: "文件不完整：请重新复制或导出。",
  },
};
