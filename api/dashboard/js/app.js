// The dashboard's beginning: shows what the URL says, and signs the reader in again when their session has ended.

import {h, styled, withDialogs} from './dom.js';
import {Problem, session, onSignedOut} from './api.js';
import {profileOf, keepLast} from './account.js';
import {begin, match, go} from './url.js';
import {framed, place, nameOf} from './shell.js';
import {problemView, top} from './card.js';
import {listen} from './keys.js';
import {say} from './toast.js';
import {show as showOverview, update as updateOverview, leave as leaveOverview} from './screens/overview.js';

/** @typedef {import('./url.js').State} State */

/** @type {{state: State, module: any} | null} */
let shown = null;
let round = 0;
/** Screens of the frame: the one that is opened first takes no request. @type {Record<string, any>} */
const HERE = {overview: {show: showOverview, update: updateOverview, leave: leaveOverview}};

/** Load a screen, and its stylesheet behind that of dialogs. @param {any} screen @returns {Promise<any>} its module */
async function load(screen) {
  if (HERE[screen.name]) return HERE[screen.name];
  const [module] = await Promise.all([import(`./screens/${screen.name}.js`), styled('dialogs'), styled(`screens/${screen.style ?? screen.name}`)]);
  return module;
}

/** @param {boolean} [fresh] @returns {any} */
function show(fresh = false) {
  const mine = ++round, hit = match(location.pathname);
  if (!hit) return missing('This page does not exist', 'The address may have been mistyped, or what it led to is gone.');
  const {screen, params} = hit, before = shown?.state;
  if (!fresh && before && screen === before.screen && params.handle === before.params.handle && shown?.module.update) {
    // At once, so that what is pressed next adds to the URL of now.
    return enter({...before, params, query: new URLSearchParams(location.search), path: location.pathname}, shown.module).catch(error => failed(error, screen));
  }
  return showOther(mine, screen, params, fresh);
}

/** @param {number} mine @param {any} screen @param {Record<string, string>} params @param {boolean} fresh @returns {Promise<any>} */
async function showOther(mine, screen, params, fresh) {
  try {
    const loading = load(screen);
    loading.catch(() => {}); // the reader's session comes first
    const me = screen.open ? null : await session(fresh);
    const profile = me && params.handle ? await profileOf(params.handle) : null;
    if (me && params.handle && !profile) return missing('There is no such profile here', `@${params.handle} does not exist, or you are not in its team.`);
    const module = await loading;
    if (mine !== round) return;
    if (profile) keepLast(profile.handle);
    await enter({screen, params, query: new URLSearchParams(location.search), path: location.pathname, me, profile, role: profile?.role ?? ''}, module);
  } catch (error) {
    if (mine === round) failed(error, screen);
  }
}

/** @param {State} state @param {any} module */
async function enter(state, module) {
  document.title = [state.screen.title, state.profile && nameOf(state.profile), 'Waypost'].filter(Boolean).join(' · ');
  const same = shown && shown.module === module && shown.state.profile?.id === state.profile?.id;
  if (same && module.update) {
    /** @type {any} */ (shown).state = state;
    await module.update(state);
    return;
  }
  shown?.module.leave?.();
  const first = shown === null;
  shown = {state, module};
  const root = state.screen.open ? h('div') : framed(state);
  if (state.screen.open) place(root);
  root.replaceChildren();
  scrollTo(0, 0);
  await module.show(root, state);
  if (first) return;
  say(state.screen.title);
  root.focus?.({preventScroll: true});
}

/** @param {any} error @param {any} screen */
function failed(error, screen) {
  if (error.status === 401) return go(`/login?next=${encodeURIComponent(location.pathname + location.search)}`, {replace: true});
  if (error instanceof TypeError && /import|module|fetch/i.test(error.message) && reloadOnce()) return; // another version runs now
  const problem = error instanceof Problem ? error : {title: 'This screen did not load', detail: `${screen.title} could not be shown. Load the page anew; if that does not help, tell whoever runs this server.`};
  shown?.module.leave?.();
  shown = null;
  place(h('main', {class: 'alone'}, top(problem.title), problemView(problem, () => show())));
  if (!(error instanceof Problem)) throw error;
}

/** Load the page anew, unless that was tried within ten seconds. */
function reloadOnce() {
  const last = Number(sessionStorage.getItem('reloaded') ?? 0);
  if (Date.now() - last < 10_000) return false;
  sessionStorage.setItem('reloaded', String(Date.now()));
  location.reload();
  return true;
}

/** @param {string} title @param {string} detail */
function missing(title, detail) {
  shown?.module.leave?.();
  shown = null;
  document.title = `${title} · Waypost`;
  place(h('main', {class: 'alone'}, top(title), h('p', {}, detail), h('p', {class: 'rowb'}, h('a', {class: 'btn main', href: '/profiles'}, 'All profiles'))));
}

onSignedOut(async () => (await withDialogs(import('./again.js'))).signInAgain(shown?.state.me?.user.email ?? ''));
listen(() => shown?.state ?? null);
begin(show);
