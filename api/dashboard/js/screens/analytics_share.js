// Sharing a profile's figures: a link for people without an account, what it shows, until when, and taking it back.

import {h, fill, typed} from '../dom.js';
import {all, change as send} from '../api.js';
import {button} from '../controls.js';
import {dialog, secretOnce} from '../dialog.js';
import {field, form} from '../form.js';
import {dateTime, shortDay} from '../format.js';
import {tellProblem, toast} from '../toast.js';

const METRICS = ['clicks', 'visitors', 'views'];
const SHOWS = /** @type {[string, string, string[]][]} */ ([['sources', 'Sources and referrers', ['source', 'referrer']], ['places', 'Countries and cities', ['country', 'city']], ['devices', 'Devices, browsers, systems', ['device', 'browser', 'os']], ['campaigns', 'Campaigns', ['utm_campaign']]]);

/** @param {any} profile */
export async function shareDialog(profile) {
  const path = `/v1/profiles/${profile.id}/shares`, list = h('ul', {class: 'files'});
  async function draw() {
    const shares = await all(path, 50);
    fill(list, shares.map(share => h('li', {}, h('span', {}, typed(share.label), h('small', {class: 'note'}, ` since ${shortDay(share.created_at)}${share.expires_at ? `, until ${dateTime(share.expires_at)}` : ''}`)), h('span', {class: 'r'}, button('Take back', {class: 'small danger', onclick: () => takeBack(share)})))), !shares.length && h('li', {class: 'note'}, 'Nothing is shared.'));
  }
  /** @param {any} share */
  async function takeBack(share) {
    try {
      await send('DELETE', `${path}/${share.id}`);
      toast(`The link for “${share.label}” leads nowhere any more`);
      await draw();
    } catch (problem) { tellProblem(problem); }
  }
  const checks = SHOWS.map(([name, words]) => h('label', {class: 'rowb'}, h('input', {type: 'checkbox', name, checked: name !== 'campaigns'}), words));
  const make = form([
    field('Whom is it for?', h('input', {name: 'label', required: true, maxlength: 200, dir: 'auto', autocomplete: 'off', autofocus: true}), {max: 200}),
    h('fieldset', {class: 'checks'}, h('legend', {}, 'Clicks, visitors and page views, and'), checks),
    field('Until', h('input', {type: 'date', name: 'until'}), {help: 'Empty: until you take it back.'}),
  ], {action: 'Make the link', async send(values) {
    const dimensions = SHOWS.filter(([name]) => values[name]).flatMap(([, , names]) => names);
    const {token} = await send('POST', path, {label: values.label, metrics: METRICS, dimensions, ...(values.until ? {expires_at: new Date(`${values.until}T23:59:59`).toISOString()} : {})});
    box.close();
    await secretOnce('The link to your figures', `${location.origin}/shared#${token}`, 'Whoever has it sees the figures of the last 30 days, without an account. It is shown this once.');
  }});
  const box = dialog('Share these figures', [make, h('h3', {}, 'Shared already'), list]);
  try {
    await draw();
  } catch (problem) { fill(list, h('li', {class: 'note'}, 'The list could not be read.')); }
}
