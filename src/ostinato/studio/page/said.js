// What the server says, for readers of Chinese: each message as the server writes it, with {names} for what varies.
// The first that fits is taken; a message that is not here is shown as it is, after a word that it is the original.

import { language } from "./words.js";

const SAID = [
  // the studio
  ["no text is called {name}", "没有名为 {name} 的文本"],
  ["no run is called {name}", "没有名为 {name} 的训练"],
  ["no comparison is called {name}", "没有名为 {name} 的比较"],
  ["no kept text is called {name}", "没有保存过名为 {name} 的作品"],
  ["no folder is called {name}: make it first", "没有名为 {name} 的文件夹：请先建立"],
  ["no recipe is called {name}: {known}", "没有名为 {name} 的配方，现有：{known}"],
  ["there is no picture yet", "还没有图"],
  ["the page has no such file", "页面没有这个文件"],
  ["{name} has no model yet", "{name} 还没有模型"],
  ["{name} has no model to start from", "{name} 没有可作起点的模型"],
  ["{name} has no model", "{name} 没有模型"],
  ["{name} has nothing to copy", "{name} 没有可以复制的内容"],
  ["{name} is at work: stop it first", "{name} 正在进行：请先停止"],
  ["{name} is at work already", "{name} 已经在进行"],
  ["{name} is not at work", "{name} 没有在进行"],
  ["{name} cannot be stopped: {why}", "无法停止 {name}：{why}"],
  ["{name} cannot be continued: it is {state}, or has no checkpoint", "{name} 无法继续：它的状态是 {state}，或者没有检查点"],
  ["{name} is there already: choose another name", "{name} 已经存在：请换一个名称"],
  ["{name} is a folder already", "{name} 已经是文件夹"],
  ["{name} is part of ostinato and stays", "{name} 是 ostinato 自带的，不能删除"],
  ["{name} holds {other}, which no run made: move it away first", "{name} 里有 {other}，它不是训练产生的：请先移走"],
  ["{name} is a model to {task}: it cannot write or score; use `ostinato predict`", "{name} 是用于 {task} 的模型，不能写作或打分；请用 `ostinato predict`"],
  ["{name} reads from right to left: it cannot say what follows", "{name} 从右往左读，无法预测后文"],
  ["{name} reads from right to left: look at another", "{name} 从右往左读：请看别的模型"],
  ["{name} reads from right to left and cannot continue a text: use /api/write or /api/score", "{name} 从右往左读，不能续写：请用 /api/write 或 /api/score"],
  ["{name} is a model of kind {kind}: it has no hidden units", "{name} 是 {kind} 模型，没有隐藏单元"],
  ["{name} knows too few tokens for a map", "{name} 认识的词元太少，画不出地图"],
  ["the cell {cell} of {name} is one of its own: only its last layer's units can be shown", "{name} 用的是自定义单元 {cell}：只能显示最后一层的单元"],
  ["the network has {layers} layers, got layer {layer}", "网络有 {layers} 层，没有第 {layer} 层"],
  ["units are 0 to {last}, got {unit}", "单元编号是 0 到 {last}，没有 {unit}"],
  ["of {units} units at most {most} tokens are shown, got {given}", "{units} 个单元时最多显示 {most} 个词元，现有 {given} 个"],
  ["the text may have 1 to {most} tokens, got {given}", "文本要有 1 到 {most} 个词元，现有 {given} 个"],
  ["the text may have {most} tokens, got {given}", "文本最多 {most} 个词元，现有 {given} 个"],
  ["the text of {name} is not there any more: give one", "{name} 的训练文本已经不在了：请另给一段"],
  ["the text has {given} tokens: a smaller distance is needed", "文本只有 {given} 个词元：距离要更小"],
  ["the text of this run is not known here: name it with text", "不知道这次训练用的是哪个文本：请指定"],
  ["{given} is {n} tokens of {name}: name one token", "{given} 在 {name} 中是 {n} 个词元：请只给一个"],
  ["text must not be empty", "文本不能为空"],
  ["language must be zh or en, got {given}", "语言只能是 zh 或 en，不能是 {given}"],
  ["a name has 1 to {most} characters, got {given}", "名称要有 1 到 {most} 个字符，现有 {given} 个"],
  ["a name has none of / \\ : * ? \" < > | and no control characters, got {given}", "名称不能含 / \\ : * ? \" < > | 和控制字符，现有 {given}"],
  ["a name does not begin or end with a dot or a blank, got {given}", "名称不能以点或空格开头或结尾：{given}"],
  ["a name, not a path, is needed: got {given}", "这里要的是名称，不是路径：{given}"],
  ["{name} cannot be the name of anything here", "{name} 在这里不能用作名称"],
  ["the name of the file is too long", "文件名太长"],
  ["{name} is a folder of the studio's own: choose another name", "{name} 是工作室自己的文件夹：请换一个名称"],
  ["folders may be 8 deep", "文件夹最多 8 层"],
  ["a path inside the text is needed, got {given}", "需要文本内部的路径：{given}"],
  ["{name} is a link, and the studio follows none", "{name} 是链接，工作室不跟随链接"],
  ["a pasted text may have {most} characters: save it as a file and upload that", "粘贴的文本最多 {most} 个字符：请存成文件再上传"],
  ["an upload may have {most} bytes, got more", "上传最多 {most} 字节，超过了"],
  ["an upload may have {most} bytes, got {given}", "上传最多 {most} 字节，现有 {given} 字节"],
  ["a folder may have {most} files: upload a zip", "文件夹最多 {most} 个文件：请上传 zip"],
  ["the text has a lone surrogate at character {at}", "第 {at} 个字符是不成对的代理码，不是合法字符"],
  ["the upload cannot be written: {why}", "无法写入上传的内容：{why}"],
  ["nothing of the upload came for {seconds} seconds", "上传中断：{seconds} 秒没有收到内容"],
  ["{most} texts are kept already: delete some", "已经保存了 {most} 篇：请先删除一些"],
  ["the body cannot be kept: {why}", "无法保存：{why}"],
  ["the process cannot be started: {why}", "无法启动进程：{why}"],
  ["the studio trains language models: leave task.name alone", "工作室只训练语言模型：请不要改 task.name"],
  ["give minutes, epochs or steps, one of them", "分钟、轮数、步数只能给其中一个"],
  ["{key} names files of this machine, which a page may not: train in the terminal for that", "{key} 指定本机文件，网页不允许：请在终端里训练"],
  ["the studio is at port {port}, and knows no host {host}", "工作室在端口 {port}，不认识主机 {host}"],
  ["a page of {origin} may not ask here", "{origin} 的网页不能在这里请求"],
  ["only the studio's own page may ask here", "只有工作室自己的页面可以请求"],
  ["open the address that `ostinato studio` printed: it has the token that is needed here", "请打开 `ostinato studio` 显示的地址：其中带有所需的令牌"],
  ["a request with the cookie must say which page it is of (Origin)", "带 cookie 的请求必须说明来自哪个页面（Origin）"],
  ["the connection was lost", "连接断开了"],

  // requests
  ["the server is stopping", "服务器正在停止"],
  ["{n} requests are running or waiting already: try again in a moment", "已有 {n} 个请求在进行或等待：请稍后再试"],
  ["{n} requests are waiting already: try again in a moment", "已有 {n} 个请求在等待：请稍后再试"],
  ["at most {most} texts can be asked for at once, got {given}", "一次最多写 {most} 篇，现有 {given} 篇"],
  ["there is nothing at this address: /openapi.json lists all", "这个地址没有内容：/openapi.json 列出全部"],
  ["the body is no JSON: {why}", "请求内容不是 JSON：{why}"],
  ["the body may have {most} bytes, got {given}", "请求内容最多 {most} 字节，现有 {given}"],
  ["{name} is missing", "缺少 {name}"],
  ["{name} must have at least {low} entries, got {given}", "{name} 至少要有 {low} 项，现有 {given} 项"],
  ["{name} must have at most {high} entries, got {given}", "{name} 最多 {high} 项，现有 {given} 项"],

  // settings
  ["{name} must be one of {known}, got {given}; {hint}", "{name} 只能是 {known} 之一，不能是 {given}"],
  ["{name} must be one of {known}, got {given}", "{name} 只能是 {known} 之一，不能是 {given}"],
  ["{name} must be a finite number, got {given}", "{name} 要是有限的数，不能是 {given}"],
  ["{name} must be a whole number or \"auto\", got {given}", "{name} 要是整数或 \"auto\"，不能是 {given}"],
  ["{name} must be a number or \"auto\", got {given}", "{name} 要是数或 \"auto\"，不能是 {given}"],
  ["{name} must be a whole number, got {given}", "{name} 要是整数，不能是 {given}"],
  ["{name} must be a number, got {given}", "{name} 要是数，不能是 {given}"],
  ["{name} must be true or false, got {given}", "{name} 要是 true 或 false，不能是 {given}"],
  ["{name} must be a text, got {given}", "{name} 要是文字，不能是 {given}"],
  ["{name} must be at least {low}, got {given}", "{name} 至少是 {low}，不能是 {given}"],
  ["{name} must be {low} or more, got {given}", "{name} 至少是 {low}，不能是 {given}"],
  ["{name} must be at most {high}, got {given}", "{name} 最多是 {high}，不能是 {given}"],
  ["{name} must be between {low} and {high}, got {given}", "{name} 要在 {low} 到 {high} 之间，不能是 {given}"],
  ["{name} must be {low} to {high}, got {given}", "{name} 要在 {low} 到 {high} 之间，不能是 {given}"],
  ["documents must be {kinds}, auto or a regular expression, got {given}: {why}", "documents 只能是 {kinds}、auto 或正则表达式，不能是 {given}：{why}"],

  // forms
  ["a template and a prompt cannot both begin the text: write the prompt into the template", "填空和开头不能都给：请把开头写进填空里"],
  ["a form has at most {most} lines, got {given}", "格式最多 {most} 行，现有 {given} 行"],
  ["a title is one line, got {given}", "标题只能有一行：{given}"],
  ["contradictory form: {lines} lines asked for, the template has {given}", "格式自相矛盾：要 {lines} 行，填空有 {given} 行"],
  ["contradictory form: {word} must be in the text, but {banned} is banned", "格式自相矛盾：须含 {word}，却又不许出现 {banned}"],
  ["contradictory form: the {name} has {letters} characters for {lines} lines", "格式自相矛盾：{lines} 行，{name} 却有 {letters} 个字"],
  ["contradictory form: the text begins with {prompt} and its acrostic with {start}", "格式自相矛盾：开头是 {prompt}，藏头却是 {start}"],
  ["contradictory form: {prompt} is {units} long, the first line at most {high}", "格式自相矛盾：{prompt} 长 {units}，第一行最多 {high}"],
  ["contradictory form: line {n} has {given}, but {word} is banned", "格式自相矛盾：第 {n} 行有 {given}，却不许出现 {word}"],
  ["contradictory form: line {n} ends with {end}, which does not rhyme as asked", "格式自相矛盾：第 {n} 行以 {end} 结尾，与所要的韵不合"],
  ["contradictory form: the end given for line {n} does not rhyme with its group's", "格式自相矛盾：第 {n} 行的结尾与同组的行不押韵"],
  ["contradictory form: no line has room for {word}", "格式自相矛盾：没有一行放得下 {word}"],
  ["contradictory form: the words that end with the letters asked for have no rhyme in common", "格式自相矛盾：以这些字结尾的词没有共同的韵"],
  ["length must be {unit} per line from 1 to {most}, such as 7, 5-9 or 7,7,5,5; got {given}", "每行字数要是 1 到 {most}，写作 7、5-9 或 7,7,5,5；不能是 {given}"],
  ["unknown rhyme {given}: give a scheme (AABA), a sound, or both (AABA,A=ang)", "不认识的韵 {given}：请给韵式（AABA）、韵母，或两者（AABA,A=ang）"],
  ["unknown rhyme {given}: give {allowed}", "不认识的韵 {given}：可以用 {allowed}"],
  ["a rhyme is given for a letter that the scheme {scheme} does not rhyme by: {given}", "韵式 {scheme} 里没有这个字母的韵：{given}"],
  ["the template has no blank: write ____ for what is to be filled, or _ for each character", "填空里没有空：用 ____ 表示要填的部分，或每个字写一个 _"],
  ["a blank has 1 to 60 characters or syllables, got {given} in {line}", "一个空是 1 到 60 个字或音节：{line} 里的 {given} 不行"],
  ["the model could not write this form: {reason} could not be met in {tries} tries; ask for less, or raise the temperature", "模型写不出这个格式：试了 {tries} 次都满足不了 {reason}；请放宽要求，或提高温度"],

  ["line {n} rhymes on the function word {word}: nothing else was found for this form", "第 {n} 行以虚词 {word} 押韵：没有找到别的写法"],
  ["lines {n} and {m} rhyme, though their letters differ: nothing else was found for this form", "第 {n} 行与第 {m} 行字母不同却押了韵：没有找到别的写法"],
  ["lines {n} and {m} rhyme on the same word, {word}: nothing else was found for this form", "第 {n} 行与第 {m} 行用了同一个韵脚 {word}：没有找到别的写法"],
  ["{name}= has {n} character{rest} lines: {which} freely", "{name} 只有 {n} 个字，少于行数：其余各行不限"],

  // texts
  ["the text is empty: it holds nothing but white space", "文本是空的：只有空白"],
  ["{name} is empty", "{name} 是空的"],
  ["{name} holds no text", "{name} 里没有文本"],
  ["{name} holds no text: {why}", "{name} 里没有文本：{why}"],
  ["{name} does not exist", "{name} 不存在"],
  ["{name} cannot be read: {why}", "无法读取 {name}：{why}"],
  ["{name} is {what}, not a text: save it as plain text or .docx", "{name} 是 {what}，不是文本：请另存为纯文本或 .docx"],
  ["{name} is in no encoding that could be recognised (byte {at} is not UTF-8): {shown}; name its encoding, for example --encoding {guess}", "认不出 {name} 的编码（第 {at} 字节不是 UTF-8）：请指定编码，例如 {guess}"],
  ["{name} is in no encoding that could be recognised (byte {at} is not UTF-8): name its encoding (--encoding E)", "认不出 {name} 的编码（第 {at} 字节不是 UTF-8）：请指定编码"],
  ["{name} is UTF-8 except for byte {at}: repair it, or name its encoding", "{name} 除第 {at} 字节外都是 UTF-8：请修复，或指定编码"],
  ["unknown encoding {given}: give one such as utf-8, gb18030, big5, shift_jis", "不认识的编码 {given}：可以用 utf-8、gb18030、big5、shift_jis 等"],
  ["{name} is not a readable zip: {why}", "{name} 不是可读的 zip：{why}"],
  ["{path}: {member} is encrypted: unpack it first", "{path}：{member} 已加密，请先解压"],
  ["{path}: {member} would unpack to {ratio} times its size, more than {most}: unpack it first if you trust it", "{path}：{member} 解压后是原来的 {ratio} 倍，超过 {most} 倍：如果信任它，请先解压"],
  ["{path} would unpack to {ratio} times its size, more than {most}: unpack it first if you trust it", "{path} 解压后是原来的 {ratio} 倍，超过 {most} 倍：如果信任它，请先解压"],
  ["the text has {given} characters, too few to hold a part out ({most}): give more, or set text.heldout=0", "文本只有 {given} 个字符，不足 {most} 个，分不出验证部分：请多给一些，或设 text.heldout=0"],
  ["no text is held out, so nothing can be compared: set text.heldout above 0", "没有验证文本，无法比较：text.heldout 要大于 0"],
  ["{n} accents stand apart from their letters (NFD), {how}; convert the text to NFC", "有 {n} 个重音符号与字母分开（NFD）：请把文本转换为 NFC"],
  ["{n} of {all} documents are copies of others; all copies of one are on one side of the split", "{all} 篇文档中有 {n} 篇是重复的；同一篇的副本都分在同一边"],
  ["{n} of {all} documents are copies of others", "{all} 篇文档中有 {n} 篇是重复的"],
  ["{name}: {n} file was passed over, {why}", "{name}：跳过 {n} 个文件，{why}"],
  ["{name}: {n} files were passed over, {why}", "{name}：跳过 {n} 个文件，{why}"],

  // how runs end
  ["out of memory: use a smaller model (model.hidden_size) or minibatch (training.batch_size)", "内存不足：请用更小的模型（model.hidden_size）或批量（training.batch_size）"],
  ["cannot write to the output folder {folder}: {why}", "无法写入输出文件夹 {folder}：{why}"],
  ["the run in {folder} ended: {why}; {left}", "{folder} 的训练中断：{why}"],
  ["its process ended without a word: it was killed, or the machine went down", "进程没有留下任何信息就结束了：它被强行终止，或者机器断电了"],
];

const PATTERNS = SAID.map(([english, chinese]) => {
  const names = [...english.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const parts = english.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return { pattern: new RegExp(`^${parts.join("(.+?)")}$`, "su"), names, chinese };
});

/** What the server said, in the reader's language. */
export function said(message) {
  if (language() !== "zh" || !message) return message;
  for (const { pattern, names, chinese } of PATTERNS) {
    const found = pattern.exec(message);
    if (found) return chinese.replace(/\{(\w+)\}/g, (_, name) => found[1 + names.indexOf(name)]);
  }
  return `原文：${message}`;
}
