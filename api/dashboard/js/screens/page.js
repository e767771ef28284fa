// The page editor: blocks, head, theme and sharing at the left, what visitors would get at the right. Kept by itself.

import {h, fill} from '../dom.js';
import {all, get} from '../api.js';
import {asOf, top} from '../card.js';
import {button, linkButton, tabs} from '../controls.js';
import {dialog} from '../dialog.js';
import {alert} from '../form.js';
import {tellProblem, toast} from '../toast.js';
import {change} from '../url.js';
import {blocksPanel} from './page_blocks.js';
import {Draft} from './page_draft.js';
import {headerPanel, sharingPanel, themePanel} from './page_looks.js';
import {picturesOf} from './page_pictures.js';
import {previewOf} from './page_preview.js';
import {versionsDialog} from './page_versions.js';

const TABS = /** @type {[string, string][]} */ ([['blocks', 'Blocks'], ['header', 'Header'], ['theme', 'Theme'], ['sharing', 'Sharing']]);
// What colour inputs show while a theme has its own, as the scheme of the editor has them.
const TOKENS = ['--accent', '--bg'];

/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export async function show(root, state) {
  await view?.draft.flying; // what the reader left this screen with
  const refused = view?.state.profile.id === state.profile.id && !view.draft.isKept ? view.draft.page : null;
  const {profile, role} = state, style = getComputedStyle(document.documentElement);
  const [answer, links, pictures] = await Promise.all([get(`/v1/profiles/${profile.id}/page/draft`), all(`/v1/profiles/${profile.id}/links`), picturesOf(profile)]);
  const draft = new Draft(profile, answer, kind => { if (view?.draft === draft) told(kind); }), preview = previewOf(profile, state.query.get('as') === 'desktop' ? 'desktop' : 'phone', value => change({as: value === 'phone' ? null : value}, {replace: true}));
  const context = {profile, links: new Map(links.map(link => [link.id, link])), pictures, off: role === 'viewer', colours: TOKENS.map(name => style.getPropertyValue(name))};
  const badge = h('span', {role: 'status'}), banner = h('div', {}), acts = h('span', {class: 'pageacts'}), ended = new AbortController();
  view = {state, draft, context, preview, badge, banner, acts, panel: null, left: h('div', {class: 'left'}), end: () => ended.abort(), kept: draft.kept};
  root.append(top('Page', badge, acts), banner, h('div', {class: 'split'}, view.left, preview.element));
  drawTabs();
  drawTop();
  preview.load();
  if (refused) {
    draft.edit('refused', () => { draft.page = refused; });
    told('all');
    toast('What was not kept is here again');
  }
  document.addEventListener('keydown', undoKey, {signal: ended.signal});
  addEventListener('pagehide', () => draft.keep(true), {signal: ended.signal});
  addEventListener('beforeunload', event => { if (!draft.isKept && draft.standing !== 'changed') event.preventDefault(); }, {signal: ended.signal});
}

/** @param {import('../url.js').State} state */
export function update(state) {
  const before = view.state.query;
  view.state = state;
  if (tabOf(before) !== tabOf(state.query)) drawTabs();
  else if (before.get('block') !== state.query.get('block')) view.panel.draw();
}

export function leave() {
  if (!view) return;
  view.end();
  view.draft.keep(true);
}

/** @param {URLSearchParams} query */
const tabOf = query => TABS.find(([name]) => name === query.get('tab'))?.[0] ?? 'blocks';

function drawTabs() {
  const {draft, context} = view;
  const panels = /** @type {Record<string, () => any>} */ ({
    blocks: () => blocksPanel(draft, context, () => view.state.query.get('block') ?? ''),
    header: () => headerPanel(draft, context), theme: () => themePanel(draft, context), sharing: () => sharingPanel(draft, context),
  });
  if (view.tabs && view.tab === tabOf(view.state.query)) return;
  const chosen = tabOf(view.state.query);
  view.tab = chosen;
  if (view.tabs) view.tabs.remove();
  const [strip, box] = tabs('What to edit', TABS, chosen, name => {
    view.tab = name;
    view.panel = panels[name]();
    view.panel.draw(true);
    return view.panel.element;
  }, name => change({tab: name === 'blocks' ? null : name}, {replace: true}));
  strip.classList.add('big');
  view.panels = panels;
  view.box = box;
  view.tabs = h('div', {}, strip, box);
  fill(view.left, view.tabs);
}

/** The draft changed, or what is known of it. @param {'all' | 'page' | 'text' | 'standing'} kind */
function told(kind) {
  const {draft, preview} = view;
  if (kind === 'all' && view.tab !== 'blocks') {
    view.panel = view.panels[view.tab]();
    fill(view.box, view.panel.element);
  }
  view.panel.draw(kind === 'all');
  drawTop();
  if (draft.kept !== view.kept) preview.load();
  view.kept = draft.kept;
}

/** @returns {HTMLElement} */
function standing() {
  const {draft, context} = view;
  if (context.off) return asOf(draft.published ? 'You may look; editors change it' : 'Not published yet');
  if (draft.standing === 'keeping' || draft.standing === 'changed') return asOf('Keeping…', 'warn');
  if (draft.standing === 'refused') return asOf(`Not kept: ${whyRefused()}`, 'bad');
  if (draft.standing === 'away') return asOf('Not kept yet: the server does not answer, trying again', 'warn');
  if (draft.standing === 'collision') return asOf('Not kept: somebody changed this', 'bad');
  return asOf(!draft.published ? 'Draft kept, not published yet' : draft.isChanged ? 'Draft kept, not published' : 'Visitors get this');
}

function whyRefused() {
  const {problem, ids, page} = view.draft, first = problem.errors?.[0];
  if (!first) return problem.detail || problem.title;
  const hit = /^blocks\[(\d+)\]\.?(.*)$/.exec(first.field);
  if (!hit) return `${first.field.replaceAll('_', ' ')} ${first.reason}`;
  const at = page.blocks.findIndex((/** @type {any} */ block) => block.id === ids[Number(hit[1])]);
  return `block ${at + 1}, ${hit[2].replaceAll('_', ' ')} ${first.reason}`;
}

function drawTop() {
  const {draft, context, state, badge, banner, acts} = view;
  const words = standing();
  if (words.textContent !== badge.textContent) fill(badge, words);
  fill(acts, !context.off && button('', {icon: 'undo-2', class: 'sq', 'aria-label': 'Undo', title: 'Undo (Ctrl Z)', disabled: !draft.past.length, onclick: () => draft.undo()}),
    !context.off && button('', {icon: 'undo-2', class: 'sq mirrored', 'aria-label': 'Redo', title: 'Redo (Ctrl Shift Z)', disabled: !draft.future.length, onclick: () => draft.redo()}),
    button('Versions', {'aria-haspopup': 'dialog', onclick: () => versionsDialog(draft, !context.off)}),
    button('Preview', {icon: 'eye', class: 'narrow', 'aria-haspopup': 'dialog', onclick: previewDialog}),
    linkButton('View page', {icon: 'external-link', href: state.profile.url, target: '_blank', rel: 'noopener'}),
    !context.off && button('Publish', {class: 'main', disabled: draft.standing === 'collision' || (draft.standing === 'kept' && Boolean(draft.published) && !draft.isChanged), onclick: publish}));
  if (draft.standing !== 'collision') return fill(banner);
  return fill(banner, h('div', {class: 'collision'}, alert({title: 'Somebody changed this page meanwhile', detail: `Theirs differs in ${draft.differences().join(', ')}. What you did is still here.`, status: 412}),
    h('div', {class: 'rowb'}, button('See theirs', {onclick: seeTheirs}), button('Keep mine', {class: 'main', onclick: () => draft.keepMine()}))));
}

function seeTheirs() {
  const {draft} = view;
  draft.replace(draft.theirs);
  toast('This is theirs', {action: 'Back to mine', act: () => draft.undo()});
}

function previewDialog() {
  const {draft, state} = view, preview = previewOf(state.profile, 'phone', () => {});
  dialog('Preview', preview.element, {class: 'previewbox'});
  draft.keep().then(() => preview.load());
}

async function publish() {
  const {draft} = view;
  try {
    const before = await draft.publish();
    if (before === undefined) return toast('Not published: the draft is not kept yet', {bad: true});
    toast('Published: visitors get it within a second', before ? {action: 'Undo', act: () => draft.publishBefore(before).then(() => toast(`Visitors get version ${before} again; the draft is as you left it`), tellProblem)} : {});
  } catch (problem) {
    if (!('status' in /** @type {any} */ (problem))) throw problem;
    tellProblem(problem);
  }
  return undefined;
}

/** @param {KeyboardEvent} event */
function undoKey(event) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || view.context.off) return;
  const key = event.key.toLowerCase(), target = /** @type {HTMLElement} */ (event.target);
  if (!['z', 'y'].includes(key) || target.closest?.('input:not([type=checkbox], [type=radio], [type=color]), textarea, dialog')) return; // there it is the field's own
  event.preventDefault();
  if (key === 'y' || event.shiftKey) view.draft.redo();
  else view.draft.undo();
}
