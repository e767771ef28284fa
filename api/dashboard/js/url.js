// The router: the state of a screen is its URL, so Back works and a copied URL shows a colleague the same.

import {SCREENS} from './screens.js';

/**
 * @typedef {object} State
 * @property {any} screen the row of SCREENS
 * @property {Record<string, string>} params what the path names, decoded: `handle`, `id`
 * @property {URLSearchParams} query
 * @property {string} path
 * @property {any} me GET /v1/session, null where a screen needs none
 * @property {any} profile the profile that the path's handle names, null without one
 * @property {string} role the reader's role in it: owner, admin, editor, viewer
 */

const patterns = SCREENS.flatMap(screen => screen.paths.map(path => ({screen, pattern: compiled(path)})));

/** @param {string} path "/p/:handle/links/:id" */
function compiled(path) {
  const names = /** @type {string[]} */ ([]);
  const source = path.replaceAll(/:(\w+)/g, (_, name) => (names.push(name), '([^/]+)'));
  return {names, regexp: new RegExp(`^${source}/?$`)};
}

/**
 * Return the screen that a path shows and what it names, or null.
 * @param {string} path @returns {{screen: any, params: Record<string, string>} | null}
 */
export function match(path) {
  for (const {screen, pattern} of patterns) {
    const values = pattern.regexp.exec(path);
    if (!values) continue;
    try {
      return {screen, params: Object.fromEntries(pattern.names.map((name, i) => [name, decodeURIComponent(values[i + 1])]))};
    } catch {
      return null; // a percent sign that encodes nothing
    }
  }
  return null;
}

/** Return the path of a profile's screen: `pathOf(profile, 'links', id)`. @param {any} profile @param {...string} rest */
export const pathOf = (profile, ...rest) => ['/p', profile.handle, ...rest].map((part, i) => (i ? encodeURIComponent(part) : part)).join('/');

/**
 * Return this screen's URL with some of its query changed; null takes a name out.
 * @param {Record<string, string | null>} changes @param {string} [path]
 */
export function href(changes, path = location.pathname) {
  const query = new URLSearchParams(path === location.pathname ? location.search : '');
  for (const [name, value] of Object.entries(changes)) {
    if (value == null || value === '') query.delete(name);
    else query.set(name, value);
  }
  // Signs of filters may stand as they are, which keeps a filter's URL readable.
  const text = query.toString().replaceAll('%5B', '[').replaceAll('%5D', ']').replaceAll('%2F', '/').replaceAll('%3A', ':').replaceAll('%21', '!').replaceAll('%7E', '~').replaceAll('%2C', ',');
  return path + (text ? `?${text}` : '');
}

/** @type {(fresh?: boolean) => any} */
let show = () => {};

/**
 * Go to a URL of ours. `replace`: without an entry in the history, for what is typed.
 * @param {string} url @param {{replace?: boolean}} [options]
 */
export function go(url, {replace = false} = {}) {
  if (url === location.pathname + location.search + location.hash) return show();
  history[replace ? 'replaceState' : 'pushState'](null, '', url);
  return show();
}

/** Change this screen's query: see href(). @param {Record<string, string | null>} changes @param {{replace?: boolean}} [options] */
export const change = (changes, options) => go(href(changes), options);

/** Show the screen again after what it shows was changed elsewhere. */
export const again = () => show(true);

/** Return a path of ours that may follow a sign-in, else "/". @param {string | null} path */
export const safePath = path => (path && /^\/(?![/\\])/.test(path) && match(new URL(path, location.origin).pathname) ? path : '/');

/** Begin: `shower(fresh)` shows what the URL says, now and whenever it changes; `fresh`: read all anew. @param {(fresh?: boolean) => any} shower */
export function begin(shower) {
  show = shower;
  addEventListener('popstate', () => show());
  document.addEventListener('click', event => {
    const link = /** @type {any} */ (event.target)?.closest?.('a[href]');
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const url = new URL(link.href, location.href);
    if (link.target || link.hasAttribute('download') || url.origin !== location.origin || !match(url.pathname)) return;
    if (url.pathname === location.pathname && url.search === location.search && url.hash) return; // within this screen
    event.preventDefault();
    go(url.pathname + url.search + url.hash);
  });
  return show();
}
