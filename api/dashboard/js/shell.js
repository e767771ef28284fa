// The frame around a screen: navigation at the side, or a tab bar on a phone, and the profile's switch.

import {h, svg, icon, fill, typed, withDialogs} from './dom.js';
import {button} from './controls.js';
import {SCREENS, isFor} from './screens.js';
import {signOut} from './api.js';

/** @typedef {import('./url.js').State} State */

const GROUPS = /** @type {[string, string | null][]} */ ([['profile', null], ['manage', 'Manage'], ['server', 'Server']]);

export const brand = () => h('a', {class: 'brand', href: '/profiles', 'aria-label': 'Waypost, all profiles'},
  svg('svg', {viewBox: '0 0 24 24', fill: 'none', stroke: 'currentColor', 'stroke-width': 2, 'stroke-linejoin': 'round', 'stroke-linecap': 'round', 'aria-hidden': 'true'}, svg('path', {d: 'M12 2v20M5 4h10l4 3-4 3H5zM19 12.5H9l-4 2.75 4 2.75h10z'})),
  h('span', {}, 'Waypost'));

/** The first sign of a name, in a square. @param {string} name */
export const face = name => h('i', {class: 'face', 'aria-hidden': 'true'}, [...(name || '?').trim()][0]?.toUpperCase() ?? '?');

/** What a profile is called: its title, or its handle without one. @param {any} profile */
export const nameOf = profile => profile.title || profile.handle;

const located = (/** @type {any} */ screen, /** @type {any} */ profile) => screen.paths[0].replace(':handle', () => encodeURIComponent(profile?.handle ?? ''));

/** Return the screens that the reader sees in the navigation. @param {State} state */
const seen = state => SCREENS.filter(screen => screen.icon && isFor(screen, state));

/** @param {any} screen @param {State} state */
const item = (screen, state) => h('a', {href: located(screen, state.profile), 'aria-label': screen.title, title: screen.title, 'aria-current': screen.name === state.screen.name ? 'page' : null, 'data-name': screen.name}, icon(screen.icon), h('span', {}, screen.title));

/** @param {State} state */
function side(state) {
  const screens = seen(state);
  return h('aside', {class: 'side', 'aria-label': 'Console'}, h('div', {class: 'sidein'}, brand(),
    state.profile && h('button', {type: 'button', class: 'switch', 'aria-haspopup': 'dialog', 'aria-label': `Profile: ${nameOf(state.profile)}. Change`, onclick: openPalette},
      face(nameOf(state.profile)), h('div', {}, h('b', {}, typed(nameOf(state.profile))), h('small', {}, typed(`@${state.profile.handle}`))), h('span', {class: 'chev', 'aria-hidden': 'true'}, icon('chevrons-up-down'))),
    h('button', {type: 'button', class: 'find', 'aria-label': 'Search and commands', 'aria-keyshortcuts': 'Control+K', onclick: openPalette}, icon('search'), h('span', {}, 'Search'), h('kbd', {}, 'Ctrl K')),
    h('nav', {class: 'nav', 'aria-label': 'Screens'}, GROUPS.map(([group, title]) => {
      const items = screens.filter(screen => screen.group === group);
      return items.length ? [title && h('h2', {}, title), items.map(screen => item(screen, state))] : null;
    })),
    h('footer', {}, face(state.me.user.name || state.me.user.email), h('a', {href: '/account', class: 'whoami'}, typed(state.me.user.name || state.me.user.email)),
      button('', {icon: 'log-out', class: 'sq plain', 'aria-label': 'Sign out', title: 'Sign out', onclick: leave}))));
}

/** @param {State} state */
function bar(state) {
  const screens = seen(state).filter(screen => screen.short);
  const rest = !screens.some(screen => screen.name === state.screen.name) && state.screen.name !== 'profiles';
  return h('nav', {class: 'tabbar', 'aria-label': 'Screens, short'},
    screens.map(screen => item(screen, state)),
    !state.profile && h('a', {href: '/profiles', 'aria-current': state.screen.name === 'profiles' ? 'page' : null}, icon('layout-grid'), h('span', {}, 'Profiles')),
    h('button', {type: 'button', 'aria-current': rest ? 'page' : null, onclick: openPalette}, icon('ellipsis'), h('span', {}, 'More')));
}

const openPalette = async () => (await withDialogs(import('./palette.js'))).openPalette();

async function leave() {
  await signOut().catch(() => {}); // the session had ended
  location.assign('/login');
}

/** @type {HTMLElement | null} */
let frame = null;

/**
 * Show the frame for a state and return the place of its screen, which is kept from one screen to the next.
 * @param {State} state @returns {HTMLElement}
 */
export function framed(state) {
  if (!frame?.isConnected) {
    frame = h('div', {id: 'frame', class: 'shell'}, h('div', {class: 'sideplace'}), h('main', {id: 'main', tabindex: -1}), h('div', {class: 'barplace'}));
    place(h('a', {class: 'skip', href: '#main', onclick: (/** @type {Event} */ event) => { event.preventDefault(); document.getElementById('main')?.focus(); }}, 'Skip to the content'), frame);
  }
  const [first, main, last] = /** @type {any} */ (frame).children;
  first.replaceChildren(side(state));
  last.replaceChildren(bar(state));
  return main;
}

/** Show a number beside a screen's name in the navigation. @param {string} name @param {number} count @param {string} [bad] what is wrong, in words */
export function badge(name, count, bad = '') {
  for (const link of document.querySelectorAll(`.nav a[data-name="${name}"]`)) {
    link.querySelector('.n')?.remove();
    if (!count) continue;
    link.append(h('span', {class: bad ? 'n bad' : 'n', 'aria-hidden': 'true'}, count));
    link.setAttribute('aria-label', `${link.querySelector('span')?.textContent}, ${count}${bad ? ` ${bad}` : ''}`);
  }
}

/** Put a whole page: what a screen without the frame shows. @param {...any} children */
export function place(...children) {
  const root = document.getElementById('root') ?? h('div', {id: 'root'});
  if (!root.isConnected) document.body.append(root, h('div', {id: 'say', class: 'vh', role: 'status', 'aria-live': 'polite'}));
  if (!children.includes(frame)) frame = null;
  fill(root, ...children);
  return root;
}
