// The API: one session, one request in flight for each URL, answers kept by their ETag, problems as errors.

import {note} from './clock.js';

const KEPT = 200; // answers kept, the least recently used goes first
const GIVEN_UP_MS = 30_000;
const BROKEN_OFF = {title: 'Broken off', detail: 'The connection ended before all was read.'};

/** A problem document (RFC 9457), or a server that was not reached (`status` 0). */
export class Problem extends Error {
  /** @param {number} status @param {any} document @param {string} requestId @param {number} retryAfterS */
  constructor(status, document, requestId = '', retryAfterS = 0) {
    super(document?.detail || document?.title || 'The server gave no reason');
    this.status = status;
    this.title = document?.title || (status ? `Answer ${status}` : 'Not reached');
    this.detail = document?.detail || '';
    /** @type {{field: string, reason: string}[]} */
    this.errors = document?.errors ?? [];
    this.requestId = requestId;
    /** Seconds after which the server wants to be asked again; 0: it says nothing. */
    this.retryAfterS = retryAfterS;
  }
}

/** @type {Map<string, {etag: string, data: any}>} */
const answers = new Map();
/** @type {Map<string, Promise<any>>} */
const flying = new Map();
/** @type {any} */
let current = null;
// Whether there may be a session: its cookie is hidden from scripts, so the shell says whether it came with one.
let mayBe = document.documentElement.hasAttribute('data-session');
/** @type {(() => Promise<boolean>) | null} */
let signInAgain = null;
// A share's token, while a screen is shown to somebody by a link that was shared.
let token = '';
const channel = new BroadcastChannel('waypost-session');
channel.onmessage = () => { current = null; mayBe = true; }; // another tab has signed in or out

/** Let `ask` sign the reader in again when the session has ended; it resolves to whether they did. @param {() => Promise<boolean>} ask */
export function onSignedOut(ask) {
  signInAgain = ask;
}

/** Ask as whoever holds a share's token, or with '' by the session again. @param {string} share */
export function actAs(share) {
  token = share;
  answers.clear();
}

/** Return GET /v1/session, asked once, or again if `fresh`. Raises Problem 401 without a session. @param {boolean} [fresh] @returns {Promise<any>} */
export async function session(fresh = false) {
  if (fresh) current = null;
  if (!current && !mayBe) throw new Problem(401, {title: 'Not signed in'});
  current ??= await get('/v1/session', {open: true});
  return current;
}

/** Take a login's answer as the session of this page. @param {any} login */
export function signedIn(login) {
  current = null;
  mayBe = login !== null;
  answers.clear();
  channel.postMessage('changed');
  return login;
}

/** End the session and forget what it has seen. */
export async function signOut() {
  await change('DELETE', '/v1/session');
  signedIn(null);
}

/**
 * Read a path. The same object comes back as long as nothing is new, so `===` tells whether to draw anew.
 * @param {string} path @param {{signal?: AbortSignal, open?: boolean}} [options] `open`: do not offer to sign in
 * @returns {Promise<any>}
 */
export function get(path, options = {}) {
  return shared(path, () => tagged('GET', path, undefined, options), options.signal);
}

/**
 * Ask by POST what changes nothing: many statistics at once. Kept and shared as by get().
 * @param {string} path @param {any} body @param {{signal?: AbortSignal, open?: boolean}} [options] @returns {Promise<any>}
 */
export function ask(path, body, options = {}) {
  const text = JSON.stringify(body);
  return shared(`${path} ${text}`, () => tagged('POST', path, text, options), options.signal);
}

/**
 * Read all pages of a list, up to `most` items.
 * @param {string} path @param {number} [most] @returns {Promise<any[]>}
 */
export async function all(path, most = 1000) {
  /** @type {any[]} */
  const items = [];
  let cursor = null;
  do {
    const page = await get(path + (path.includes('?') ? '&' : '?') + 'limit=100' + (cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''));
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor && items.length < most);
  return items;
}

/** Read an export, an object from each of its lines. @param {string} path @returns {AsyncGenerator<any>} */
export async function* lines(path) {
  const response = await send('GET', path, undefined, {}, {unhurried: true});
  const reader = /** @type {ReadableStream} */ (response.body).pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const {value, done} = await reader.read().catch(() => { throw new Problem(0, BROKEN_OFF); });
    const parts = (text + (value ?? '')).split('\n');
    text = parts.pop() ?? '';
    for (const line of parts) yield JSON.parse(line);
    if (done) return;
  }
}

/**
 * Change something. Returns the answer's body, or null without one.
 * @param {'POST' | 'PUT' | 'PATCH' | 'DELETE'} method @param {string} path @param {any} [body] JSON, or a Blob as it is
 * @param {{version?: number | string, key?: string, keepalive?: boolean, signal?: AbortSignal, open?: boolean}} [options] `version`: sent as
 *   If-Match, a collision is Problem 412; `key`: Idempotency-Key; `open`: takes no session
 * @returns {Promise<any>}
 */
export async function change(method, path, body, {version, key, keepalive, signal, open} = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (version != null) headers['If-Match'] = `"${version}"`;
  if (key) headers['Idempotency-Key'] = key;
  const response = await send(method, path, body instanceof Blob || body === undefined ? body : JSON.stringify(body), headers, {keepalive, signal, open});
  return bodyOf(response);
}

/**
 * Poll while the page is visible: `ask` now, then every `everyMs` after its answer, later if the server says so.
 * @param {() => Promise<any>} ask @param {number} everyMs
 * @param {(data: any) => void} onData @param {(problem: any) => void} onProblem
 * @returns {{stop: () => void, now: () => void}} `now` asks at once
 */
export function poll(ask, everyMs, onData, onProblem) {
  let timer = 0, stopped = false, round = 0, failures = 0;
  const next = (/** @type {number} */ ms) => {
    clearTimeout(timer);
    if (!stopped && !document.hidden) timer = setTimeout(run, ms);
  };
  async function run() {
    const mine = ++round;
    clearTimeout(timer);
    let wait = everyMs;
    try {
      const data = await ask();
      failures = 0;
      if (mine === round && !stopped) onData(data);
    } catch (error) {
      if (mine !== round || stopped || /** @type {any} */ (error).name === 'AbortError') return;
      const after = /** @type {any} */ (error).retryAfterS * 1000 || 0;
      wait = Math.max(after, Math.min(60_000, everyMs * 2 ** failures++));
      onProblem(error);
    }
    if (mine === round) next(wait);
  }
  const seen = () => { if (document.hidden) clearTimeout(timer); else run(); };
  document.addEventListener('visibilitychange', seen);
  if (!document.hidden) run();
  return {now: run, stop() { stopped = true; clearTimeout(timer); document.removeEventListener('visibilitychange', seen); }};
}

/** @param {string} key @param {() => Promise<any>} ask @param {AbortSignal} [signal] */
function shared(key, ask, signal) {
  if (signal) return ask(); // who may abort it does not share it
  let answer = flying.get(key);
  if (!answer) {
    answer = ask().finally(() => flying.delete(key));
    flying.set(key, answer);
  }
  return answer;
}

/** @param {string} method @param {string} path @param {string | undefined} body @param {{signal?: AbortSignal, open?: boolean}} options */
async function tagged(method, path, body, options) {
  const key = `${path} ${body ?? ''}`, kept = answers.get(key);
  const response = await send(method, path, body, kept ? {'If-None-Match': kept.etag} : {}, options);
  if (response.status === 304 && kept) {
    answers.delete(key);
    answers.set(key, kept);
    return kept.data;
  }
  const data = await bodyOf(response), etag = response.headers.get('ETag');
  answers.delete(key);
  if (etag) answers.set(key, {etag, data});
  if (answers.size > KEPT) answers.delete(/** @type {string} */ (answers.keys().next().value));
  return data;
}

/** @param {string} method @param {string} path @param {any} body @param {Record<string, string>} headers @param {any} options @returns {Promise<Response>} */
async function send(method, path, body, headers, options, attempts = 1) {
  if (token) headers.Authorization = `Bearer ${token}`;
  else if (method !== 'GET' && current === null && mayBe && !options.open) await session().catch(() => null); // without one, the server says so
  if (method !== 'GET' && current?.csrf_token) headers['X-CSRF-Token'] = current.csrf_token;
  if (body !== undefined && !(body instanceof Blob)) headers['Content-Type'] = 'application/json';
  const late = options.unhurried ? [] : [AbortSignal.timeout(GIVEN_UP_MS)];
  let response;
  try {
    response = await fetch(path, {
      method, headers, body, credentials: 'same-origin', cache: 'no-store', keepalive: options.keepalive,
      signal: AbortSignal.any(options.signal ? [options.signal, ...late] : late),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem(0, {title: 'Not reached', detail: 'The server does not answer. What you typed is kept.'});
  }
  note(response.headers.get('Date'));
  if (response.ok || response.status === 304) return response;
  if (response.status === 401 && attempts && signInAgain && !options.open && path !== '/v1/session') {
    current = null;
    if (await signInAgain()) return send(method, path, body, headers, options, attempts - 1);
  }
  throw await problemOf(response);
}

/** @param {Response} response */
async function bodyOf(response) {
  if (response.status === 204) return null;
  const type = response.headers.get('Content-Type') ?? '';
  return type.includes('json') ? response.json() : response.text();
}

/** @param {Response} response */
async function problemOf(response) {
  const document = await response.json().catch(() => null);
  const after = Number(response.headers.get('Retry-After'));
  return new Problem(response.status, document, response.headers.get('X-Request-Id') ?? '', Number.isFinite(after) ? after : 0);
}
