// Domains of a profile: added, proved by a TXT record, with targets for their root and for what they do not know.

import {h, fill, typed} from '../dom.js';
import {all, change as send} from '../api.js';
import {card, empty, loaded, skeleton, top} from '../card.js';
import {button, tag} from '../controls.js';
import {confirm, drawer} from '../dialog.js';
import {field, form} from '../form.js';
import {ago, now} from '../clock.js';
import {relative} from '../format.js';
import {copy, tellProblem, toast} from '../toast.js';
import {change, go, pathOf} from '../url.js';

const STATES = /** @type {Record<string, ['' | 'ok' | 'warn' | 'bad' | 'info', string]>} */ ({verified: ['ok', 'proved'], pending: ['warn', 'waits for its record'], failed: ['bad', 'not proved']});

const SLUGS = /** @type {[string, string][]} */ ([['case_sensitive', 'Case that counts: Spring is not spring'], ['slashes', 'Slashes: guide/start'], ['dots', 'Dots: v1.2'], ['emoji', 'Emoji']]);

/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  const writes = state.role === 'owner' || state.role === 'admin', place = h('div', {});
  root.append(top('Domains', writes && button('Add a domain', {icon: 'plus', class: 'main', onclick: () => change({new: '1'})})), card('', {class: 'plainhead'}, place),
    h('p', {class: 'foot'}, 'Links answer at the domains of their profile, too. A domain leads here by DNS (a CNAME or an address), and a TXT record proves that it is yours.'));
  const list = loaded(place, {ask: () => all(`/v1/profiles/${state.profile.id}/domains`, 100), draw: items => drawn(items, writes), skeleton: skeleton('w9', 'w8', 'w9')});
  view = {state, writes, list, drawer: null, items: []};
  list.load().then(() => open(state));
}

/** @param {import('../url.js').State} state */
export function update(state) {
  view.state = state;
  open(state);
}

export function leave() { view?.drawer?.close(); }

/** @param {any[]} items @param {boolean} writes */
function drawn(items, writes) {
  view.items = items;
  if (!items.length) return empty('No domain of your own yet. Links answer at this server’s address.', writes && button('Add a domain', {class: 'main', onclick: () => change({new: '1'})}));
  return h('ul', {class: 'domains'}, items.map(domain => {
    const [kind, words] = STATES[domain.state] ?? ['', domain.state];
    return h('li', {}, h('div', {class: 'who'}, h('a', {href: pathOf(view.state.profile, 'domains', domain.id)}, typed(domain.host)), h('small', {}, domain.root_target ? ['its root leads to ', typed(domain.root_target)] : 'its root shows the page')),
      h('div', {}, tag(kind, words), h('small', {class: 'note'}, domain.checked_at ? [' looked at ', ago(domain.checked_at)] : null)));
  }));
}

/** @param {import('../url.js').State} state */
function open(state) {
  const {id} = state.params, back = () => { view.drawer = null; if (view.state.params.id === id || view.state.query.get('new')) go(pathOf(view.state.profile, 'domains'), {replace: true}); };
  if (view.drawer?.open) return;
  if (state.query.get('new') && view.writes) view.drawer = newDomain(back);
  const domain = id && view.items.find((/** @type {any} */ each) => each.id === id);
  if (domain) view.drawer = domainDrawer(domain, back);
}

/** @param {() => void} closed */
function newDomain(closed) {
  const box = drawer('Add a domain', form([field('Domain', h('input', {name: 'host', required: true, autocomplete: 'off', spellcheck: 'false', placeholder: 'links.example.com', dir: 'ltr', autofocus: true}), {help: 'A name that you own, without https://.'})], {
    action: 'Add',
    async send(values) {
      const domain = await send('POST', `/v1/profiles/${view.state.profile.id}/domains`, {host: values.host.trim()});
      await view.list.load();
      box.close();
      await go(pathOf(view.state.profile, 'domains', domain.id));
    },
  }), {closed});
  return box;
}

/** What addresses may have beyond letters, digits, - and _. @param {string[]} chosen */
function slugsField(chosen) {
  return h('fieldset', {class: 'field slugs', 'data-name': 'slugs'}, h('legend', {}, 'Addresses of links may also have'),
    SLUGS.map(([value, words]) => h('label', {}, h('input', {type: 'checkbox', name: `slugs.${value}`, checked: chosen.includes(value), disabled: !view.writes}), words)),
    h('small', {class: 'bad', hidden: true}), h('small', {}, 'What links have already stays.'));
}

/** @param {any} given @param {() => void} closed */
function domainDrawer(given, closed) {
  const place = h('div', {}), box = drawer(given.host, place, {sub: ' ', closed});
  const draw = (/** @type {any} */ domain) => {
    const [kind, words] = STATES[domain.state] ?? ['', domain.state], record = domain.txt_record;
    fill(/** @type {HTMLElement} */ (box.querySelector('header p')), tag(kind, words));
    fill(place,
      h('section', {class: 'part'}, h('h3', {}, 'Proof'), domain.state === 'verified' ? h('p', {}, 'The record was found ', ago(domain.verified_at), '. Leave it there: it is looked at again.') : h('p', {}, 'Add this TXT record where you manage the domain’s DNS, then look again.'),
        h('dl', {class: 'record'}, h('dt', {}, 'Name'), h('dd', {}, h('span', {class: 'url'}, typed(record.name)), button('', {icon: 'copy', class: 'sq', 'aria-label': 'Copy the record’s name', onclick: () => copy(record.name)})), h('dt', {}, 'Value'), h('dd', {}, h('span', {class: 'url'}, typed(record.value)), button('', {icon: 'copy', class: 'sq', 'aria-label': 'Copy the record’s value', onclick: () => copy(record.value)}))),
        domain.reason && domain.state !== 'verified' ? h('p', {class: 'note'}, typed(domain.reason)) : null, domain.next_check_at ? h('p', {class: 'note'}, `The next look is ${Date.parse(domain.next_check_at) > now() ? relative(domain.next_check_at) : 'due'}.`) : null,
        view.writes && h('div', {class: 'rowb'}, button('Look now', {icon: 'rotate-cw', onclick: () => act(async () => { const seen = await send('POST', `/v1/domains/${domain.id}/verify`); draw(seen); toast(seen.state === 'verified' ? 'The domain is proved' : 'The record is not there yet'); })}))),
      h('section', {class: 'part'}, h('h3', {}, 'Where it leads'), form([
        field('Its root', h('input', {name: 'root_target', type: 'url', value: domain.root_target ?? '', dir: 'ltr', disabled: !view.writes}), {help: 'Empty: the profile’s page.'}),
        field('Addresses that it does not know', h('input', {name: 'not_found_target', type: 'url', value: domain.not_found_target ?? '', dir: 'ltr', disabled: !view.writes}), {help: 'Empty: a page says that there is nothing.'}), slugsField(domain.slugs)], {
        action: 'Save',
        async send(values) {
          draw(await send('PATCH', `/v1/domains/${domain.id}`, {root_target: values.root_target || null, not_found_target: values.not_found_target || null, slugs: SLUGS.map(([value]) => value).filter(value => values[`slugs.${value}`])}, {version: domain.version}));
          toast('Saved');
          view.list.load();
        },
      })),
      view.writes && h('section', {class: 'part'}, h('h3', {}, 'Remove'), h('p', {class: 'note'}, 'Its addresses lead nowhere from then on. Links stay.'), h('div', {class: 'rowb'}, button('Remove the domain', {class: 'danger', onclick: async () => {
        if (!(await confirm(`Remove ${domain.host}?`, 'Its addresses lead nowhere from then on.', 'Remove'))) return;
        await act(async () => { await send('DELETE', `/v1/domains/${domain.id}`); box.close(); });
      }}))));
  };
  const act = async (/** @type {() => Promise<void>} */ work) => {
    try { await work(); } catch (problem) { tellProblem(problem); }
    view.list.load();
  };
  draw(given);
  return box;
}
