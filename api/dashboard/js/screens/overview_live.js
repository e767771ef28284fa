// What happens now: clicks of the last minute, of each of the last thirty, and the latest ones as they come.

import {h, fill, keyed, typed} from '../dom.js';
import {get} from '../api.js';
import {card} from '../card.js';
import {tag} from '../controls.js';
import {clock, plural, value} from '../format.js';
import {minuteBars} from '../figures.js';
import {match, pathOf} from '../url.js';
import {onKey} from '../keys.js';
import {watch} from '../live.js';
import {now} from '../clock.js';

const MINUTES = 30, SHOWN = 7, KEPT = 400, REDRAW_MS = 5000;

/** @param {any} profile */
export function liveCard(profile) {
  const names = new Map([['0', 'The page']]);
  /** @type {any[]} */
  let clicks = [];
  let paused = false, lastMinute = 0, fresh = 0, frame = 0;
  const sum = h('strong', {}, '0'), words = h('span', {class: 'flat'}, 'clicks in the last minute');
  const bars = h('div', {class: 'body'}), feed = h('ol', {class: 'feed', 'aria-label': 'Latest clicks'});
  const pause = h('button', {type: 'button', class: 'more show', 'aria-pressed': 'false', onclick: () => hold(!paused)}, 'Pause');
  const open = match(pathOf(profile, 'live')) && h('a', {href: pathOf(profile, 'live')}, 'Open live view →');
  const element = card('Right now', {class: 'c4 full', right: open}, h('div', {class: 'now'}, sum, words), bars, feed, pause);

  function draw() {
    frame = 0;
    const at = now(), counts = Array(MINUTES).fill(0);
    for (const click of clicks) {
      const minute = Math.floor((at - Date.parse(click.time)) / 60_000);
      if (minute >= 0 && minute < MINUTES) counts[MINUTES - 1 - minute]++;
    }
    const count = Math.max(lastMinute, counts[MINUTES - 1]);
    sum.textContent = String(count);
    words.textContent = `${plural(count, 'click').replace(/^\S+ /, '')} in the last minute`;
    fill(bars, minuteBars(counts, `Clicks in each of the last ${MINUTES} minutes: ${counts.join(', ')}`), h('div', {class: 'ends', 'aria-hidden': 'true'}, h('span', {}, `${MINUTES} min ago`), h('span', {}, 'now')));
    if (paused) return;
    keyed(feed, clicks.slice(0, SHOWN), click => click.key, row, (/** @type {any} */ item, /** @type {any} */ click) => { item.querySelector('.w').firstChild.textContent = names.get(click.link) ?? 'A link'; });
    if (!clicks.length) fill(feed, h('li', {class: 'none'}, h('span', {class: 'note'}, 'Each click will stand here: when, which link, from where.')));
  }
  /** @param {any} click */
  function row(click) {
    const where = [click.city?.split(', ')[0] ?? (click.country && value('country', click.country)), click.device && value('device', click.device).toLowerCase()].filter(Boolean).join(' · ');
    return h('li', {class: click.fresh ? 'new' : null}, h('time', {datetime: click.time}, clock(click.time)), h('span', {class: 'w'}, typed(names.get(click.link) ?? 'A link'), ' ', h('em', {}, where)), tag('', value('source', click.source ?? click.referrer)));
  }
  const later = () => { frame ||= requestAnimationFrame(draw); };
  /** @param {boolean} on */
  function hold(on) {
    paused = on;
    pause.setAttribute('aria-pressed', String(on));
    pause.textContent = on ? 'Go on' : 'Pause';
    draw();
  }
  /** @param {string} link */
  async function learn(link) {
    if (names.has(link)) return;
    names.set(link, 'A link');
    const found = await get(`/v1/links/${link}`).catch(() => null); // deleted meanwhile
    if (found) names.set(link, found.title || found.slug);
    later();
  }
  const endWatch = watch(profile.id, {
    click(click) {
      clicks = [{...click, key: `live-${++fresh}`, fresh: true}, ...clicks].slice(0, KEPT);
      learn(click.link);
      later();
    },
    state(state) { feed.dataset.state = state; },
    minute(minute) { lastMinute = minute.clicks + minute.views; later(); },
  });
  const timer = setInterval(() => { if (!document.hidden) draw(); }, REDRAW_MS);
  const endKey = onKey('p', 'Hold or go on with the latest clicks', () => hold(!paused));
  draw();
  return {
    element,
    nameOf: (/** @type {string} */ link) => names.get(link),
    name(/** @type {string} */ link, /** @type {string} */ name) { names.set(link, name); },
    /** Take the latest clicks of an answer: those that the stream has not told. @param {any[]} latest newest first */
    latest(latest) {
      for (const click of latest) if (click.title || click.slug) names.set(click.link, click.title || click.slug);
      const told = new Set(clicks.map(click => click.time));
      const more = latest.filter(click => !told.has(click.time)).map((click, i) => ({...click, key: `${click.time}-${click.link}-${i}`}));
      clicks = [...clicks, ...more].sort((a, b) => Date.parse(b.time) - Date.parse(a.time)).slice(0, KEPT);
      draw();
    },
    end() { endWatch(); endKey(); clearInterval(timer); cancelAnimationFrame(frame); },
  };
}
