// compose(version, values, messages): what Claude is sent of a version, a row of promptctl.resolve.
// JSON.parse rounds integers beyond 2^53, and puts keys that are integers, such as "10", first.
const PATH = '[A-Za-z_][A-Za-z0-9_]*(?:\\.[A-Za-z_][A-Za-z0-9_]*)*';
// The first group of each style is text, the others are the name of a variable.
const STYLES = {
  braces: new RegExp(`\\{(\\{${PATH}\\})\\}|(?<![$@#%^])\\{(${PATH})\\}`, 'g'),
  mustache: new RegExp(`(?!)()|\\{\\{\\{[ \\t]*(${PATH})[ \\t]*\\}\\}\\}|\\{\\{[ \\t]*(${PATH})[ \\t]*\\}\\}`, 'g'),
  none: /(?!)/g,
};

// The places of the braces that open an argument of a LaTeX command: \frac{a}{b}. They are text.
function latexArguments(text) {
  const [places, ends, open] = [new Set(), new Set(), []];
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '}' && places.has(open.pop())) ends.add(at + 1);
    if (text[at] !== '{') continue;
    open.push(at);
    const before = text.slice(0, at);
    const isFirst = /\\[A-Za-z]{2,}\*?(\[[^\][{}]*\])?$/.test(before);
    if (isFirst || ends.has(/(\[[^\][{}]*\])?$/.exec(before).index)) places.add(at);
  }
  return places;
}

// The texts around the variables, and the names of the variables.
function parse(text, style) {
  const [texts, names] = [[''], []];
  const places = style === 'braces' && text.includes('\\') ? latexArguments(text) : new Set();
  let from = 0;
  const add = (piece) => { texts[texts.length - 1] += piece; };
  for (const match of text.matchAll(STYLES[style])) {
    add(text.slice(from, match.index));
    from = match.index + match[0].length;
    const [all, literal, ...groups] = match;
    if (literal) add(literal);
    else if (places.has(match.index)) add(all);
    else { names.push(groups.find((group) => group)); texts.push(''); }
  }
  add(text.slice(from));
  return { texts, names };
}

function compose({ content, settings }, values = {}, messages = []) {
  const { template = 'braces', variables = {}, request = '{}', cache, model, max_tokens } = settings;
  const { messages: examples = [], ...rest } = JSON.parse(request);
  const missing = new Set();
  const value = (name) => {
    if (Object.hasOwn(values, name)) return values[name];
    const { default: text, required } = Object.hasOwn(variables, name) ? variables[name] : {};
    if (text === undefined && required !== false) missing.add(name);
    return text ?? '';
  };
  const render = (text) => {
    const { texts, names } = parse(text, template);
    return texts.map((piece, place) => piece + (place < names.length ? value(names[place]) : '')).join('');
  };
  // Of the few-shot messages, only texts are templates: not the input of a tool, not a document.
  const fill = (parts, inResult = false) => {
    if (typeof parts === 'string') return render(parts);
    if (!Array.isArray(parts)) return parts;
    return parts.map((block) => {
      if (block?.type === 'text' && typeof block.text === 'string') return { ...block, text: render(block.text) };
      if (block?.type !== 'tool_result' || inResult || block.content === undefined) return block;
      return { ...block, content: fill(block.content, true) };
    });
  };

  let system = render(content);
  const [prefix] = parse(content, template).texts;
  if (cache && prefix.trim()) {
    const control = cache === '1h' ? { type: 'ephemeral', ttl: '1h' } : { type: 'ephemeral' };
    const rest = system.slice(prefix.length);
    system = rest.trim()
      ? [{ type: 'text', text: prefix, cache_control: control }, { type: 'text', text: rest }]
      : [{ type: 'text', text: system, cache_control: control }]; // Claude refuses a block that has only blanks
  }
  const filled = examples.map((message) => ({ ...message, content: fill(message.content) }));
  if (missing.size) throw new Error(`values are missing for ${[...missing].join(', ')}`);
  return { model, max_tokens, system, ...rest, messages: [...filled, ...messages] };
}

module.exports = { compose };
