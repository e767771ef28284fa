// Live clicks, by one stream for all tabs of a browser: six open streams would use up its connections.

// Streams of one browser at once, so of different profiles; tabs beyond wait for one to end.
const STREAMS = 2;
const RETRY_MS = 5000, RETRY_MOST_MS = 60_000;

/**
 * @typedef {object} Watcher
 * @property {(click: any) => void} [click]
 * @property {(minute: {clicks: number, views: number, bots: number}) => void} [minute]
 * @property {(reason: string) => void} [gap] clicks before the following ones may be missing
 * @property {(state: 'open' | 'waiting' | 'closed') => void} [state] closed: the server refused it
 */

/**
 * Watch a profile's clicks while the page is visible. Returns what ends it.
 * @param {string} profileId @param {Watcher} watcher @returns {() => void}
 */
export function watch(profileId, watcher) {
  const channel = new BroadcastChannel(`waypost-live-${profileId}`);
  let leave = () => {}, ended = false;
  /** @param {{name: string, data: any}} message */
  const take = ({name, data}) => /** @type {any} */ (watcher)[name]?.(data);
  channel.onmessage = event => take(event.data);
  const tell = (/** @type {string} */ name, /** @type {any} */ data) => {
    take({name, data});
    channel.postMessage({name, data});
  };
  const seen = () => {
    leave();
    leave = document.hidden || ended ? () => {} : lead(profileId, tell);
  };
  document.addEventListener('visibilitychange', seen);
  seen();
  return () => {
    ended = true;
    document.removeEventListener('visibilitychange', seen);
    leave();
    channel.close();
  };
}

/**
 * Wait to be the tab that holds the profile's stream, and hold it. Returns what gives it to another.
 * @param {string} profileId @param {(name: string, data: any) => void} tell
 */
function lead(profileId, tell) {
  const over = new AbortController();
  const gone = new Promise(resolve => over.signal.addEventListener('abort', resolve));
  const hold = async () => {
    const close = stream(profileId, tell);
    await gone;
    close();
  };
  // The profile's lock first: its holder waits for a slot of the browser, every other tab for it.
  const slot = `waypost-live-slot-${Number(BigInt(profileId) % BigInt(STREAMS))}`;
  const request = (/** @type {string} */ name, /** @type {() => Promise<any>} */ act) => navigator.locks.request(name, {signal: over.signal}, act);
  request(`waypost-live-${profileId}`, () => request(slot, hold)).catch(() => {}); // aborted: this tab watches no more
  return () => over.abort();
}

/** @param {string} profileId @param {(name: string, data: any) => void} tell */
function stream(profileId, tell) {
  /** @type {EventSource} */
  let source;
  let timer = 0, wait = RETRY_MS;
  const open = () => {
    source = new EventSource(`/v1/profiles/${profileId}/live`);
    source.onopen = () => { wait = RETRY_MS; tell('state', 'open'); };
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return tell('state', 'waiting'); // it connects again by itself
      tell('state', 'closed');
      timer = setTimeout(open, wait);
      wait = Math.min(RETRY_MOST_MS, wait * 2);
    };
    for (const name of ['click', 'minute', 'gap']) {
      source.addEventListener(name, event => {
        const data = JSON.parse(/** @type {MessageEvent} */ (event).data);
        tell(name, name === 'gap' ? data.reason : data);
      });
    }
  };
  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
