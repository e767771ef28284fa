// The drawer of a link: where it leads, for whom, its looks, and what can be done with it; and that of a new one.

import {h, fill, typed} from '../dom.js';
import {change as send, get} from '../api.js';
import {problemView, skeleton} from '../card.js';
import {button, linkButton} from '../controls.js';
import {drawer} from '../dialog.js';
import {alert, field, form, mark} from '../form.js';
import {number, plural} from '../format.js';
import {copy, toast, undoable} from '../toast.js';
import {go, pathOf} from '../url.js';
import {githubPart} from './links_github.js';
import {rulesEditor, tryIt} from './links_rules.js';

// Targets that are no address of the web, and pages of repositories, whose facts a page can show.
const SCHEME = /^(mailto|tel|sms|smsto|magnet):/i, REPOSITORY = /^https:\/\/github\.com\/[\w-]+\/[\w.-]+/i;
const UTM = /** @type {[string, string][]} */ ([['source', 'Source'], ['medium', 'Medium'], ['campaign', 'Campaign'], ['term', 'Term'], ['content', 'Content']]);

/** @param {string} title @param {any} note @param {...any} children */
const part = (title, note, ...children) => h('section', {class: 'part'}, h('h3', {}, title, note && h('span', {class: 'r'}, note)), children);

/** @param {string} name @param {any} [attributes] */
const input = (name, attributes = {}) => h('input', {name, autocomplete: 'off', ...attributes});

/** A time of the API as an input of local time has it, and back. @param {string | null} time */
const localOf = time => (time ? new Date(Date.parse(time) - new Date(time).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : '');
/** @param {string} text */
const timeOf = text => (text ? new Date(text).toISOString() : null);

/**
 * @param {import('../url.js').State} state @param {() => void} changed @param {() => void} closed
 */
export function newLink(state, changed, closed) {
  const {profile} = state;
  const fields = [
    field('Where it leads', input('target', {type: 'url', inputmode: 'url', required: true, maxlength: 32768, placeholder: 'https://', autofocus: true, dir: 'ltr'})),
    field('Title', input('title', {maxlength: 200, dir: 'auto'}), {max: 200, help: 'As it stands on the page.'}),
    field('Address', input('slug', {maxlength: 200, dir: 'auto', spellcheck: 'false'}), {help: `${profile.url.replace(/\/@[^/]*$/, '')}/${profile.handle}/… Left empty, a short one is made.`}),
    field('Tags', input('tags', {dir: 'auto'}), {help: 'With commas between them.'}),
  ];
  const box = drawer('New link', form(fields, {
    action: 'Create',
    async send(values) {
      const body = {target: values.target, ...(values.title ? {title: values.title} : {}), ...(values.slug ? {slug: values.slug} : {}), tags: tagsOf(values.tags)};
      const link = await create(`/v1/profiles/${profile.id}/links`, body);
      toast(`Created ${link.url}`, {action: 'Copy', act: () => copy(link.short_url ?? link.url, 'Address copied')});
      changed();
      await go(pathOf(profile, 'links', link.id));
      box.close();
    },
  }), {sub: typed(`@${profile.handle}`), closed});
  return box;
}

/** Create a link of the kind that its target has; what only looks like a repository is an address. @param {string} path @param {any} body */
async function create(path, body) {
  const kind = REPOSITORY.test(body.target) ? 'github' : (SCHEME.exec(body.target)?.[1] ?? 'url').toLowerCase();
  try {
    return await send('POST', path, {...body, kind: kind === 'smsto' ? 'sms' : kind});
  } catch (problem) {
    if (kind !== 'github' || /** @type {any} */ (problem).status !== 422) throw problem;
    return send('POST', path, body);
  }
}

/** @param {string} text */
const tagsOf = text => [...new Set(text.split(',').map(each => each.trim()).filter(Boolean))];

/**
 * @param {import('../url.js').State} state @param {string} id @param {() => void} changed @param {() => void} closed
 */
export function linkDrawer(state, id, changed, closed) {
  const place = h('div', {}, skeleton('w9', 'w8', 'w9', 'w7', 'w8')), foot = h('div', {class: 'rowb'});
  const box = drawer('Link', place, {sub: ' ', foot, closed});
  const load = async () => {
    try {
      const link = await get(`/v1/links/${id}?include=clicks,last_click`);
      const title = box.querySelector('h2'), sub = box.querySelector('header p');
      if (title) title.textContent = link.title || link.slug;
      if (sub) fill(/** @type {HTMLElement} */ (sub), typed((link.short_url ?? link.url).replace(/^https?:\/\//, '')), ` · ${plural(link.clicks ?? 0, 'click')} in 30 days`);
      drawLink(state, link, place, foot, {reload: load, changed, close: () => box.close()});
    } catch (problem) {
      if (!('status' in /** @type {any} */ (problem))) throw problem;
      fill(place, problemView(problem, load));
    }
  };
  load();
  return box;
}

/**
 * @param {import('../url.js').State} state @param {any} link @param {HTMLElement} place @param {HTMLElement} foot
 * @param {{reload: () => void, changed: () => void, close: () => void}} acts
 */
function drawLink({role}, link, place, foot, {reload, changed, close}) {
  const writes = role !== 'viewer', said = h('div', {class: 'said'}), save = button('Save', {class: 'main', type: 'submit', form: 'link-form'});
  const touched = () => save.classList.add('unsaved');
  const rules = rulesEditor(link.rules, writes, touched), off = {disabled: !writes};
  const element = h('form', {id: 'link-form', class: 'form', novalidate: true, oninput: touched, onsubmit: submit},
    link.engine_quarantine && alert({title: 'Visitors are warned of this link', detail: `${link.engine_quarantine.reason}. Only what set it, a rule of this server or its operator, takes it back.`}),
    part('Where it leads', null,
      field('Target', input('target', {type: 'url', inputmode: 'url', required: true, maxlength: 32768, value: link.target, dir: 'ltr', ...off})),
      rules.element),
    link.rules?.length ? part('Try it', 'nothing is counted', tryIt(link)) : null,
    part('On the page', null, h('div', {class: 'pair'}, field('Title', input('title', {maxlength: 200, value: link.title, dir: 'auto', ...off}), {max: 200}), field('Tags', input('tags', {value: link.tags.join(', '), dir: 'auto', ...off}))),
      h('div', {class: 'pair'}, field('Address', input('slug', {value: link.slug, maxlength: 200, dir: 'auto', spellcheck: 'false', required: true, ...off})), field('Notes, for the team', input('notes', {value: link.notes, dir: 'auto', ...off}))),
      h('label', {class: 'check'}, input('hidden', {type: 'checkbox', checked: link.hidden, ...off}), 'Not on the page; the address works all the same')),
    part('When and for whom', null,
      h('label', {class: 'check'}, input('paused', {type: 'checkbox', checked: link.paused, ...off}), 'Paused'),
      h('div', {class: 'pair'}, field('From', input('active_from', {type: 'datetime-local', value: localOf(link.active_from), ...off})), field('Until', input('active_until', {type: 'datetime-local', value: localOf(link.active_until), ...off}))),
      h('div', {class: 'pair'}, field('Clicks at most', input('click_limit', {type: 'number', min: 1, value: link.click_limit ?? '', ...off})), field('Password', input('password', {type: 'password', autocomplete: 'new-password', placeholder: link.has_password ? 'one is set' : '', ...off}), {help: link.has_password ? 'Left empty, it stays.' : null})),
      field('Meanwhile it leads to', input('fallback_target', {type: 'url', value: link.fallback_target ?? '', dir: 'ltr', ...off}), {help: 'While it is paused, not yet active, over or used up. Empty: a page says so.'})),
    part('Warning', null, h('label', {class: 'check'}, input('quarantined', {type: 'checkbox', checked: link.quarantined, ...off}), 'Warn visitors before it leads on'),
      field('Why, for the team', input('quarantine_reason', {value: link.quarantine_reason, maxlength: 200, dir: 'auto', ...off}))),
    part('Campaign (UTM)', 'added to the target', h('div', {class: 'pair'}, UTM.map(([name, words]) => field(words, input(`utm.${name}`, {value: link.utm?.[name] ?? '', maxlength: 255, dir: 'auto', ...off}))))),
    link.github && githubPart(link, writes), qrPart(link), said);
  fill(place, element, writes && h('section', {class: 'part'}, h('h3', {}, 'Delete'), h('p', {class: 'note'}, 'The address answers 404 from then on. What it counted stays.'), h('div', {class: 'rowb'}, button('Delete the link', {class: 'danger', onclick: remove}))));
  fill(foot, writes && save, linkButton('Open', {icon: 'external-link', href: link.url, target: '_blank', rel: 'noopener'}), button('Copy', {icon: 'copy', onclick: () => copy(link.short_url ?? link.url, 'Address copied')}), h('span', {class: 'r note'}, `version ${number(link.version)}`));

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    const values = Object.fromEntries([...new FormData(element)].map(([name, one]) => [name, String(one).trim()]));
    const utm = Object.fromEntries(UTM.map(([name]) => [name, values[`utm.${name}`] ?? '']).filter(([, one]) => one));
    const body = {
      target: values.target, title: values.title, slug: values.slug, notes: values.notes, tags: tagsOf(values.tags), hidden: values.hidden === 'on', paused: values.paused === 'on', quarantined: values.quarantined === 'on', quarantine_reason: values.quarantine_reason,
      active_from: same(values.active_from, link.active_from), active_until: same(values.active_until, link.active_until), click_limit: values.click_limit ? Number(values.click_limit) : null,
      fallback_target: values.fallback_target, utm: Object.keys(utm).length ? utm : null, rules: rules.rules(), ...(values.password ? {password: values.password} : {}),
    };
    fill(said);
    save.setAttribute('aria-busy', 'true');
    try {
      await send('PATCH', `/v1/links/${link.id}`, body, {version: link.version});
      toast('Saved');
      changed();
      reload();
    } catch (problem) { refused(/** @type {any} */ (problem)); } finally { save.removeAttribute('aria-busy'); }
  }

  /** The time as it was unless it was typed anew: an input has no seconds. @param {string} text @param {string | null} was */
  const same = (text, was) => (text === localOf(was) ? was : timeOf(text));

  /** @param {any} problem */
  function refused(problem) {
    if (!('status' in problem)) throw problem;
    if (problem.status === 412) return fill(said, alert({title: 'Somebody changed this link meanwhile', detail: 'What you typed is still here. Load theirs to see it, then change it again.'}), h('div', {class: 'rowb'}, button('Load theirs', {onclick: reload})));
    const left = [];
    for (const {field: name, reason} of problem.errors ?? []) {
      const box = element.querySelector(`.field[data-name="${CSS.escape(name)}"]`);
      if (box) mark(box, reason);
      else left.push(`${name.replace(/^rules\[(\d+)\]\.?/, (/** @type {string} */ _, /** @type {string} */ at) => `rule ${Number(at) + 1}: `)} ${reason}`);
    }
    if (left.length || !problem.errors?.length) fill(said, alert({...problem, title: problem.title, detail: left.join('; ') || problem.detail, status: problem.status, requestId: problem.requestId}));
    /** @type {HTMLElement | null} */ (element.querySelector('[aria-invalid]'))?.focus();
    return undefined;
  }

  function remove() {
    close();
    undoable('Link deleted', keepalive => send('DELETE', `/v1/links/${link.id}`, undefined, {keepalive}).then(changed), () => {});
  }
}

/** The link's QR code, as it is drawn for the chosen size of its corrections. @param {any} link */
function qrPart(link) {
  const picture = h('img', {width: 132, height: 132, alt: `QR code of ${link.url}`}), files = h('div', {class: 'rowb'});
  const level = h('select', {onchange: draw}, [['l', '7 % (L)'], ['m', '15 % (M)'], ['q', '25 % (Q)'], ['h', '30 % (H)']].map(([one, words]) => h('option', {value: one, selected: one === 'm'}, words)));
  function draw() {
    const path = (/** @type {string} */ format) => `/v1/links/${link.id}/qr?error=${level.value}&format=${format}&size=1024`;
    picture.src = path('svg');
    fill(files, linkButton('SVG', {icon: 'download', class: 'small', href: path('svg'), download: `${link.slug}.svg`}), linkButton('PNG', {icon: 'download', class: 'small', href: path('png'), download: `${link.slug}.png`}));
  }
  draw();
  return part('QR code', null, h('div', {class: 'qrbox'}, picture, h('div', {class: 'form'}, field('Corrects', Object.assign(level, {name: 'qr'})), h('p', {class: 'note'}, 'Scans are counted by themselves: reached by QR code.'), files)));
}

