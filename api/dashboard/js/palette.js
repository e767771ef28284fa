// The command palette: go to a screen, a profile or a link, or do something, by typing part of its name.

import {h, icon, fill, typed, newId} from './dom.js';
import {kbd} from './controls.js';
import {get, session} from './api.js';
import {profiles} from './account.js';
import {SCREENS, isFor} from './screens.js';
import {go, match} from './url.js';
import {nameOf} from './shell.js';
import {say} from './toast.js';
import {help} from './help.js';
import {chooseTheme} from './theme.js';

const WAIT_MS = 120; // after typing, before links are asked for
const MOST = 8; // of each group

/**
 * @typedef {object} Entry
 * @property {string} text
 * @property {string} [sub]
 * @property {string} icon
 * @property {string[]} [keys]
 * @property {string} [href]
 * @property {() => void} [act]
 */

/** @param {string} text */
const plain = text => text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase();

/** How well a text fits: 0 the start of a word, 1 anywhere, 2 not at all. @param {string} text @param {string} query */
function rank(text, query) {
  const [a, b] = [plain(text), plain(query)], at = a.indexOf(b);
  return !b || at === 0 || (at > 0 && /[\s/@_-]/.test(a[at - 1])) ? 0 : at > 0 ? 1 : 2;
}

/** @param {string} query @param {Entry[]} entries */
const fitting = (query, entries) => entries.map(entry => ({entry, fit: Math.min(rank(entry.text, query), rank(entry.sub ?? '', query) || (query ? 0 : 2))})).filter(({fit, entry}) => fit < 2 && (rank(entry.text, query) < 2 || rank(entry.sub ?? '', query) < 2)).sort((a, b) => a.fit - b.fit).map(({entry}) => entry).slice(0, MOST);

/** Open it. It is closed by Esc, a choice, or a click beside it. */
export async function openPalette() {
  if (document.querySelector('dialog.palette')) return;
  const handle = match(location.pathname)?.params.handle;
  const id = newId('palette'), list = h('div', {role: 'listbox', id, 'aria-label': 'What fits'});
  /** @type {Entry[]} */
  let links = [];
  /** @type {Entry[]} */
  let shown = [];
  /** @type {any[]} */
  let known = [];
  /** @type {any} */
  let me = null;
  let at = 0, timer = 0, round = 0;
  const input = h('input', {role: 'combobox', 'aria-expanded': 'true', 'aria-controls': id, 'aria-autocomplete': 'list', 'aria-label': 'Search and commands', placeholder: 'Go to, find, do…', autofocus: true, autocomplete: 'off', spellcheck: 'false', oninput: typedIn, onkeydown: pressed});
  const dialog = h('dialog', {class: 'palette', 'aria-label': 'Search and commands'},
    h('div', {class: 'palin'}, icon('search'), input, h('kbd', {}, 'Esc')),
    h('div', {class: 'palbody'}, list),
    h('footer', {}, h('span', {}, kbd('↑', '↓'), ' move'), h('span', {}, kbd('↵'), ' open'), h('span', {class: 'r'}, kbd('?'), ' all keys')));

  function draw() {
    const query = input.value.trim();
    const groups = /** @type {[string, Entry[]][]} */ ([['Links', links], ['Go to', fitting(query, places(handle, {me, profile: handle, role: known.find(each => each.handle === handle)?.role}))], ['Profiles', fitting(query, known.map(profile => ({text: nameOf(profile), sub: `@${profile.handle}`, icon: 'circle-user-round', href: `/p/${encodeURIComponent(profile.handle)}`})))], ['Do', fitting(query, actions())]]);
    shown = groups.flatMap(([, entries]) => entries);
    at = Math.min(at, Math.max(0, shown.length - 1));
    let n = 0;
    fill(list, groups.filter(([, entries]) => entries.length).map(([name, entries]) => h('div', {role: 'group', 'aria-label': name}, h('div', {class: 'pgt', 'aria-hidden': 'true'}, name), entries.map(entry => option(entry, n++)))));
    if (!shown.length) fill(list, h('p', {class: 'note pad'}, `Nothing is called “${query}”.`));
    marked();
  }
  /** @param {Entry} entry @param {number} i */
  function option(entry, i) {
    return h('div', {role: 'option', id: `${id}-${i}`, 'aria-selected': String(i === at), onclick: () => choose(entry)}, icon(entry.icon), h('span', {}, typed(entry.text), entry.sub && h('small', {}, typed(entry.sub))), entry.keys && h('span', {class: 'ks'}, kbd(...entry.keys)));
  }
  function marked() {
    [...list.querySelectorAll('[role=option]')].forEach((element, i) => {
      element.setAttribute('aria-selected', String(i === at));
      if (i === at) element.scrollIntoView({block: 'nearest'});
    });
    if (shown.length) input.setAttribute('aria-activedescendant', `${id}-${at}`);
    else input.removeAttribute('aria-activedescendant');
  }
  /** @param {Entry} entry */
  function choose(entry) {
    dialog.close();
    if (entry.act) entry.act();
    else if (entry.href) go(entry.href);
  }
  function typedIn() {
    at = 0;
    draw();
    clearTimeout(timer);
    timer = setTimeout(findLinks, WAIT_MS);
  }
  async function findLinks() {
    const mine = ++round, query = input.value.trim(), profile = known.find(each => each.handle === handle);
    links = [];
    if (query && profile && SCREENS.some(screen => screen.name === 'links')) {
      const page = await get(`/v1/profiles/${profile.id}/links?limit=${MOST}&q=${encodeURIComponent(query)}`).catch(() => ({items: []}));
      if (mine !== round) return;
      links = page.items.map((/** @type {any} */ link) => ({text: link.title || link.slug, sub: `/${link.slug}`, icon: 'link', href: `/p/${encodeURIComponent(profile.handle)}/links/${link.id}`}));
    }
    draw();
    say(`${shown.length} found`);
  }
  /** @param {KeyboardEvent} event */
  function pressed(event) {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step && shown.length) {
      event.preventDefault();
      at = (at + step + shown.length) % shown.length;
      marked();
    } else if (event.key === 'Enter' && shown[at]) {
      event.preventDefault();
      if ((event.ctrlKey || event.metaKey) && shown[at].href) open(shown[at].href);
      else choose(shown[at]);
    } else if (event.key === 'Escape' && input.value) {
      event.preventDefault();
      input.value = '';
      typedIn();
    }
  }
  const opener = /** @type {any} */ (document.activeElement);
  dialog.addEventListener('close', () => { clearTimeout(timer); dialog.remove(); opener?.focus?.({preventScroll: true}); });
  dialog.addEventListener('pointerdown', (/** @type {Event} */ event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  draw();
  [known, me] = await Promise.all([profiles().catch(() => []), session().catch(() => null)]);
  draw();
}

/** @param {string | undefined} handle @param {{me: any, profile: any, role?: string}} reader @returns {Entry[]} */
function places(handle, reader) {
  const here = SCREENS.filter(screen => screen.icon && isFor(screen, reader)).map(screen => ({text: screen.title, icon: /** @type {string} */ (screen.icon), keys: screen.key ? ['G', screen.key.toUpperCase()] : undefined, href: screen.paths[0].replace(':handle', () => encodeURIComponent(handle ?? ''))}));
  const more = SCREENS.filter(screen => !screen.icon && !screen.open && !screen.paths[0].includes(':')).map(screen => ({...{icon: 'arrow-right'}, text: screen.title, href: screen.paths.at(-1)}));
  return [...here, ...more];
}

/** @returns {Entry[]} */
function actions() {
  return [
    {text: 'Light theme', icon: 'sun', act: () => chooseTheme('light')},
    {text: 'Dark theme', icon: 'moon', act: () => chooseTheme('dark')},
    {text: 'Keys', icon: 'keyboard', keys: ['?'], act: help},
    {text: 'API reference', icon: 'book-open', act: () => location.assign('/docs')},
  ];
}
