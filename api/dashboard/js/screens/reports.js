// Links of all tenants that visitors reported, for the operator: what visitors wrote, and a warning before the link or none.

import {h, fill, typed} from '../dom.js';
import {change as send, get} from '../api.js';
import {card, empty, problemView, skeleton, top} from '../card.js';
import {button, linkButton, tag} from '../controls.js';
import {ago} from '../clock.js';
import {confirm, dialog} from '../dialog.js';
import {field, form} from '../form.js';
import {list, number, plural} from '../format.js';
import {paged} from '../table.js';
import {copy, tellProblem, toast} from '../toast.js';

const PAGE = 20, MOST_REASON = 200;
const CATEGORIES = /** @type {Record<string, string>} */ ({phishing: 'phishing', malware: 'malware', spam: 'spam', illegal: 'illegal', other: 'something else'});

/** @type {any} */
let view = null;

/** @param {HTMLElement} root */
export function show(root) {
  const place = h('div', {}, skeleton('w9', 'w8', 'w9'));
  const pages = paged(async cursor => {
    const page = await get(`/v1/operator/reports?limit=${PAGE}${cursor ? `&cursor=${cursor}` : ''}`);
    return {...page, items: page.items.map((/** @type {any} */ link) => ({...link, id: link.link_id}))};
  }, draw);
  root.append(top('Reports'), card('', {class: 'plainhead'}, place),
    h('p', {class: 'foot'}, 'Visitors report a link on the page that + behind its address opens. Whatever you decide answers its reports; members see the decision in the link’s log.'));
  view = {place, pages};
  load();
}

export function leave() { view = null; }

async function load() {
  const mine = view;
  try {
    await mine.pages.restart();
  } catch (problem) {
    if (view !== mine) return;
    fill(mine.place, /** @type {any} */ (problem).status === 403 ? empty('The operator sees this: a member of the first account, with all rights.') : problemView(problem, load));
  }
}

/** @param {any[]} links */
function draw(links) {
  if (!view) return;
  if (!links.length) return fill(view.place, empty('No report waits for you.'));
  fill(view.place, h('ul', {class: 'reports'}, links.map(row)), h('div', {class: 'rowb'}, view.pages.more));
}

/** @param {any} link */
function row(link) {
  const warned = link.engine_quarantine, most = Object.entries(link.categories).sort(([, a], [, b]) => b - a);
  return h('li', {},
    h('div', {class: 'what'},
      h('h2', {}, typed(link.url.replace(/^https?:\/\//, ''))),
      h('p', {class: 'url'}, h('span', {class: 'note'}, 'leads to '), typed(link.target)),
      h('p', {}, `${plural(link.reports, 'visitor', 'visitors')}: ${list(most.map(([category, count]) => `${number(count)} × ${CATEGORIES[category] ?? category}`))}, `, 'last ', ago(link.last_reported_at)),
      link.details.map((/** @type {string} */ text) => h('blockquote', {dir: 'auto'}, text)),
      warned && h('p', {}, tag('bad', 'visitors are warned'), ' ', typed(warned.reason), ', ', ago(warned.since))),
    h('div', {class: 'rowb'},
      linkButton('Where it leads', {icon: 'external-link', href: `${link.url}+`, target: '_blank', rel: 'noreferrer'}),
      button('', {icon: 'copy', class: 'sq', 'aria-label': 'Copy the target', onclick: () => copy(link.target)}),
      button(warned ? 'Keep the warning' : 'Warn visitors', {class: 'danger', onclick: () => warn(link)}),
      button(warned ? 'Release' : 'Nothing is wrong', {onclick: () => release(link)})));
}

/** @param {any} link */
function warn(link) {
  const reason = h('input', {name: 'reason', required: true, maxlength: MOST_REASON, autofocus: true, value: link.engine_quarantine?.reason ?? ''});
  const box = dialog('Warn visitors of this link?', form([field('Why', reason, {help: 'Members of the profile read it.', max: MOST_REASON})], {
    action: 'Warn visitors',
    async send(values) {
      await send('PUT', `/v1/operator/links/${link.link_id}/quarantine`, {reason: values.reason}, {version: link.version});
      box.close();
      toast('Visitors are warned of the link');
      load();
    },
  }));
}

/** @param {any} link */
async function release(link) {
  const warned = Boolean(link.engine_quarantine);
  if (!(await confirm(warned ? 'Release this link?' : 'Is nothing wrong with it?', 'Rules and further reports leave it alone for as long as it leads to the same targets.', warned ? 'Release' : 'Nothing is wrong', {bad: false}))) return;
  try {
    await send('DELETE', `/v1/operator/links/${link.link_id}/quarantine`, undefined, {version: link.version});
    toast(warned ? 'The link is released' : 'Its reports are answered');
  } catch (problem) { tellProblem(problem); }
  load();
}
