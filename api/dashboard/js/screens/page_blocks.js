// The list of a page's blocks: added, opened, moved by buttons, keys or a pointer, hidden, deleted with Undo.

import {h, fill, icon, keyed, typed} from '../dom.js';
import {button, tag} from '../controls.js';
import {dialog} from '../dialog.js';
import {mark} from '../form.js';
import {shortDay} from '../format.js';
import {say, toast} from '../toast.js';
import {change} from '../url.js';
import {fieldsOf, written} from './page_fields.js';
import {ALWAYS, KINDS, wordsOf} from './page_kinds.js';
import {dragged} from './page_drag.js';

const MOST = 100, QUICK = ['link', 'heading', 'text', 'image'];

/**
 * The panel of blocks. `draw(rebuilt)` shows the draft as it is; `rebuilt`: fields, too.
 * @param {import('./page_draft.js').Draft} draft @param {any} context @param {() => string} openId which block is open
 */
export function blocksPanel(draft, context, openId) {
  const list = h('ol', {class: 'blocks card', 'aria-label': 'Blocks in order'}), bar = h('div', {class: 'addbar'}), none = h('p', {class: 'note', hidden: true}, 'The page has no blocks yet.');
  let round = 0;

  /** @param {string} id */
  const indexOf = id => draft.page.blocks.findIndex((/** @type {any} */ block) => block.id === id);

  /** @param {string} id @param {number} to @param {string} [key] */
  function move(id, to, key = 'move') {
    const from = indexOf(id), {length} = draft.page.blocks;
    if (to < 0 || to >= length || from === to || from < 0) return;
    draft.edit(`${key}:${id}`, page => page.blocks.splice(to, 0, page.blocks.splice(from, 1)[0]));
    say(`${wordsOf(draft.page.blocks[to], context.links)[0]}: ${to + 1} of ${length}`);
  }

  /** @param {string} kind */
  function add(kind) {
    if (draft.page.blocks.length >= MOST) return toast(`A page has at most ${MOST} blocks`, {bad: true});
    const id = freeId(draft.page.blocks), links = [...context.links.values()].filter(link => kind !== 'repository' || link.kind === 'github');
    const first = ['link', 'repository', 'video', 'audio', 'product'].includes(kind) && links[0] ? {link_id: links[0].id} : {};
    const at = indexOf(openId()) + 1 || draft.page.blocks.length;
    draft.edit(`add:${id}`, page => page.blocks.splice(at, 0, {kind, id, ...KINDS[kind].make?.(), ...first}));
    change({block: id}, {replace: true});
    /** @type {any} */ (list.querySelector('.fields input, .fields select, .fields textarea'))?.focus();
    return say(`${KINDS[kind].words} added`);
  }

  function choose() {
    const box = dialog('Add a block', h('ul', {class: 'kinds'}, Object.entries(KINDS).map(([kind, {words, help}]) => h('li', {}, h('button', {type: 'button', onclick: () => { box.close(); add(kind); }}, signOf(kind), h('span', {}, h('b', {}, words), h('small', {}, help)))))), {class: 'kindbox'});
  }

  /** @param {string} id */
  function remove(id) {
    const at = indexOf(id), block = draft.page.blocks[at], {translations} = draft.page;
    draft.edit(`delete:${id}`, page => {
      page.blocks.splice(at, 1);
      page.translations = page.translations?.map((/** @type {any} */ each) => (each.blocks ? {...each, blocks: each.blocks.filter((/** @type {any} */ one) => one.block !== id)} : each));
    });
    change({block: null}, {replace: true});
    const next = list.children[Math.min(at, list.children.length - 1)];
    /** @type {any} */ (next?.querySelector('.name') ?? bar.querySelector('button'))?.focus();
    toast('Block deleted', {action: 'Undo', act() {
      if (indexOf(id) < 0) draft.edit(`back:${id}`, page => { page.blocks.splice(Math.min(at, page.blocks.length), 0, block); page.translations = translations; });
    }});
  }

  /** @param {any} block */
  function make(block) {
    const {id} = block, row = h('div', {class: 'row'}), body = h('div', {}), li = h('li', {'data-id': id}, row, body);
    // An element that is put elsewhere loses the focus, and so does a button that is switched off.
    const stay = (/** @type {string} */ first, /** @type {string} */ other) => (row.querySelector(`${first}:not(:disabled)`) ?? row.querySelector(other))?.focus();
    const flags = context.off ? [] : [
      button('', {icon: 'arrow-up', class: 'sq up', onclick: () => { move(id, indexOf(id) - 1); stay('.up', '.down'); }}),
      button('', {icon: 'arrow-down', class: 'sq down', onclick: () => { move(id, indexOf(id) + 1); stay('.down', '.up'); }}),
    ];
    const name = h('button', {type: 'button', class: 'name', onclick: () => change({block: openId() === id ? null : id}, {replace: true})}), state = h('span', {class: 'tags'});
    const grip = context.off ? null : button('', {icon: 'grip-vertical', class: 'grip', 'aria-describedby': 'grip-help', 'aria-pressed': 'false'});
    if (grip) dragged(grip, li, list, {indexOf: () => indexOf(id), move: to => move(id, to, 'lift'), lifted: () => wordsOf(draft.page.blocks[indexOf(id)], context.links)[0]});
    row.append(...[grip, signOf(block.kind), name, state, ...flags].filter(Boolean));
    Object.assign(li, {parts: {name, state, grip, flags, body}, round: -1});
    update(li, block);
    return li;
  }

  /** @param {any} li @param {any} block */
  function update(li, block) {
    const {name, state, grip, flags, body} = li.parts, [words, below] = wordsOf(block, context.links), isOpen = openId() === block.id;
    const errors = draft.errorsOf(block.id), at = indexOf(block.id);
    fill(name, h('b', {}, typed(words)), h('small', {}, typed(below)));
    name.setAttribute('aria-expanded', String(isOpen));
    fill(state, errors.length ? tag('bad', 'not kept') : null, block.hidden ? tag('', 'hidden') : null, block.from || block.until ? tag('info', block.until ? `until ${shortDay(block.until)}` : `from ${shortDay(block.from)}`) : null);
    grip?.setAttribute('aria-label', `Move ${words}`);
    flags[0]?.setAttribute('aria-label', `Move ${words} up`);
    flags[1]?.setAttribute('aria-label', `Move ${words} down`);
    if (flags[0]) flags[0].disabled = at === 0;
    if (flags[1]) flags[1].disabled = at === draft.page.blocks.length - 1;
    li.classList.toggle('open', isOpen);
    li.classList.toggle('off', Boolean(block.hidden));
    if (isOpen && (li.round !== round || !body.firstChild)) fill(body, fieldsOfBlock(block));
    else if (!isOpen) fill(body);
    li.round = round;
    if (isOpen) markAll(body, errors);
  }

  /** @param {any} block */
  function fieldsOfBlock({id, kind}) {
    const value = () => draft.page.blocks[indexOf(id)] ?? {};
    const place = {context, value, set: (/** @type {string} */ name, /** @type {any} */ known, whole = false) => {
      if (indexOf(id) >= 0) draft.edit(`${id}.${name}`, page => { page.blocks[indexOf(id)] = written(page.blocks[indexOf(id)], name, known); }, whole ? 'page' : 'text');
    }};
    const hide = button('', {onclick: () => { place.set('hidden', value().hidden ? null : true, true); named(); }}), named = () => fill(hide, value().hidden ? 'Show' : 'Hide');
    named();
    return h('div', {class: 'fields'}, fieldsOf(KINDS[kind].fields, place), h('div', {class: 'pair'}, fieldsOf(ALWAYS, place)),
      !context.off && h('div', {class: 'rowb'}, hide, button('Duplicate', {icon: 'copy', onclick: () => duplicate(id)}), button('Delete', {class: 'danger', onclick: () => remove(id)})));
  }

  /** @param {string} id */
  function duplicate(id) {
    const copy = {...structuredClone(draft.page.blocks[indexOf(id)]), id: freeId(draft.page.blocks)};
    if (draft.page.blocks.length >= MOST) return toast(`A page has at most ${MOST} blocks`, {bad: true});
    draft.edit(`add:${copy.id}`, page => page.blocks.splice(indexOf(id) + 1, 0, copy));
    return change({block: copy.id}, {replace: true});
  }

  function draw(rebuilt = false) {
    if (rebuilt) round++;
    keyed(list, draft.page.blocks, block => block.id, make, update);
    list.hidden = !draft.page.blocks.length;
    none.hidden = !list.hidden;
  }

  if (!context.off) fill(bar, button('Add a block', {icon: 'plus', class: 'main', 'aria-haspopup': 'dialog', onclick: choose}), QUICK.map(kind => button(KINDS[kind].words, {class: 'quick', onclick: () => add(kind)})));
  return {element: h('div', {}, bar, none, list, h('p', {id: 'grip-help', class: 'vh'}, 'Space lifts it, arrows move it, Space drops it, Escape puts it back.')), draw};
}

/** @param {string} kind */
const signOf = kind => h('span', {class: 'ic', 'aria-hidden': 'true'}, KINDS[kind]?.icon ? icon(/** @type {string} */ (KINDS[kind].icon)) : KINDS[kind]?.sign);

/** @param {any[]} blocks @returns {string} an id that no block has */
function freeId(blocks) {
  const taken = new Set(blocks.map(block => block.id));
  for (let number = 1; ; number++) if (!taken.has(`b${number}`)) return `b${number}`;
}

/** Show what the server refused at its fields. @param {HTMLElement} body @param {{field: string, reason: string}[]} errors */
export function markAll(body, errors) {
  for (const box of body.querySelectorAll('.field')) mark(box, '');
  for (const {field, reason} of errors) {
    const box = body.querySelector(`.field[data-name="${CSS.escape(field)}"]`);
    if (box) mark(box, reason);
  }
}
