// Recover: how many events since a time would be sent again, before they are.

import {h, fill} from '../dom.js';
import {change as send} from '../api.js';
import {card, empty, problemView} from '../card.js';
import {now} from '../clock.js';
import {button, linkButton} from '../controls.js';
import {field} from '../form.js';
import {number, plural} from '../format.js';
import {toast} from '../toast.js';
import {href} from '../url.js';

const DAY_MS = 86_400_000, WAIT_MS = 300;

/** A time as an input of the reader's zone wants it. @param {number} ms */
const local = ms => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

/** @param {any} view with `path`, `hook`, `summary`, `refresh` */
export function recoverCard(view) {
  const since = h('input', {type: 'datetime-local', name: 'since', required: true, oninput: () => soon()}), only = h('input', {type: 'checkbox', checked: true, onchange: () => soon()});
  const answer = h('p', {role: 'status'}), buttons = h('div', {class: 'rowb'}), help = h('span', {});
  const fields = h('div', {class: 'body form', hidden: true}, field('From', since, {help}), h('label', {class: 'rowb'}, only, 'Only what was not delivered'), answer, buttons), nothing = h('div', {}, empty('Nothing was given up. What fails is shown here, and can be sent again.'));
  const element = card('Recover since…', {}, fields, nothing);
  let timer = 0, round = 0, proposed = '';
  const soon = () => { clearTimeout(timer); timer = setTimeout(count, WAIT_MS); };
  const body = () => ({since: new Date(since.value).toISOString(), failed_only: only.checked});

  async function count() {
    if (Number.isNaN(Date.parse(since.value))) return fill(answer, 'Choose a time.');
    const mine = ++round;
    try {
      const {replayed, next_since: more} = await send('POST', `${view.path}/replay`, {...body(), dry_run: true});
      if (mine !== round || view.over) return;
      const many = `${number(replayed)}${more ? ' or more' : ''}`;
      fill(answer, h('b', {}, replayed === 1 && !more ? '1 event' : `${many} events`), ' would be sent again, oldest first.');
      fill(buttons, replayed ? button(`Send ${many} again`, {icon: 'rotate-cw', class: 'main', disabled: !view.hook?.enabled, title: view.hook?.enabled ? null : 'Enable the webhook first', onclick: (/** @type {any} */ event) => run(event.currentTarget)}) : null, linkButton('See them', {href: () => href({state: only.checked ? 'failed' : null, day: null})}));
    } catch (problem) {
      if (!('status' in /** @type {any} */ (problem))) throw problem;
      fill(answer, problemView(problem, count));
    }
  }

  /** @param {HTMLElement} act */
  async function run(act) {
    let sent = 0;
    act.setAttribute('aria-busy', 'true');
    try {
      for (let body_ = body(); body_.since;) {
        const {replayed, next_since: next} = await send('POST', `${view.path}/replay`, body_);
        sent += replayed;
        if (!next || next === body_.since) break;
        body_ = {...body_, since: next};
        fill(answer, `${number(sent)} are under way, more follow.`);
      }
      toast(`${plural(sent, 'event')} will be sent again`);
    } catch (problem) {
      fill(answer, problemView(problem));
    } finally {
      act.removeAttribute('aria-busy');
    }
    view.refresh();
    soon();
  }

  return {
    element,
    draw() {
      const {summary, hook} = view;
      if (!summary || !hook) return;
      const oldest = summary.oldest_failed_at ?? hook.failing_since, needed = Boolean(oldest || !hook.enabled);
      fields.hidden = !needed;
      nothing.hidden = needed;
      if (!needed) return;
      const begin = local(Math.floor((oldest ? Date.parse(oldest) : now() - DAY_MS) / 60_000) * 60_000);
      if (begin !== proposed && (!since.value || since.value === proposed)) { since.value = begin; help.textContent = oldest ? 'When the first event that failed happened.' : 'A day ago.'; }
      proposed = begin;
      soon();
    },
  };
}
