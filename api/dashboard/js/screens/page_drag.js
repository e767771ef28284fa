// A row that is moved by its grip: with a pointer, or lifted by Space and moved by arrows.

import {say} from '../toast.js';

const EDGE = 80, SCROLL = 12; // pixels: near the window's edge it scrolls, so far at each move

/**
 * Let `grip` move `row` within `list`.
 * @param {HTMLElement} grip @param {HTMLElement} row @param {HTMLElement} list
 * @param {{indexOf: () => number, move: (to: number) => void, lifted: () => string}} acts `lifted` names the row
 */
export function dragged(grip, row, list, {indexOf, move, lifted}) {
  let origin = -1; // where it was lifted by a key, or -1
  const drop = () => { origin = -1; grip.setAttribute('aria-pressed', 'false'); row.classList.remove('lifted'); };

  grip.addEventListener('keydown', event => {
    const step = {ArrowUp: -1, ArrowDown: 1}[event.key];
    if (event.key === ' ' || event.key === 'Enter') {
      event.preventDefault();
      if (origin >= 0) { drop(); say(`${lifted()} dropped at ${indexOf() + 1}`); return; }
      origin = indexOf();
      grip.setAttribute('aria-pressed', 'true');
      row.classList.add('lifted');
      say(`${lifted()} lifted, ${origin + 1} of ${list.children.length}`);
    } else if (step && origin >= 0) {
      event.preventDefault();
      again(indexOf() + step);
    } else if (event.key === 'Escape' && origin >= 0) {
      event.preventDefault();
      again(origin);
      drop();
    }
  });
  grip.addEventListener('blur', () => { if (!moving) drop(); });

  let moving = false;
  /** Move it, and keep the focus, which an element loses when it is put elsewhere. @param {number} to */
  function again(to) {
    moving = true;
    move(to);
    grip.focus();
    moving = false;
  }

  grip.addEventListener('pointerdown', event => {
    if (event.button) return;
    event.preventDefault();
    grip.focus();
    const from = event.clientY + scrollY, ended = new AbortController(), {signal} = ended;
    let to = -1;
    row.classList.add('dragged');
    const stop = () => {
      ended.abort();
      row.classList.remove('dragged');
      row.style.transform = '';
      show(-1);
    };
    addEventListener('pointermove', moved => {
      row.style.transform = `translateY(${moved.clientY + scrollY - from}px)`;
      to = show(placeOf(moved.clientY));
      if (moved.clientY < EDGE) scrollBy(0, -SCROLL);
      else if (moved.clientY > innerHeight - EDGE) scrollBy(0, SCROLL);
    }, {signal});
    addEventListener('pointerup', () => { stop(); if (to >= 0) again(to); }, {signal});
    addEventListener('pointercancel', stop, {signal});
    addEventListener('keydown', key => { if (key.key === 'Escape') stop(); }, {signal});
  });

  /** The place among the other rows that a pointer is at. @param {number} y */
  function placeOf(y) {
    const others = [...list.children].filter(each => each !== row);
    const at = others.findIndex(each => { const box = each.getBoundingClientRect(); return y < box.top + box.height / 2; });
    return at < 0 ? others.length : at;
  }

  /** Draw a line where it would be dropped; -1: none. @param {number} to */
  function show(to) {
    const others = [...list.children].filter(each => each !== row);
    for (const each of others) each.classList.remove('before', 'after');
    if (to >= 0 && to !== indexOf()) (to < others.length ? others[to] : others[to - 1])?.classList.add(to < others.length ? 'before' : 'after');
    return to;
  }
}
