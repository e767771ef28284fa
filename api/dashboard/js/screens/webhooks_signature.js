// How to verify a webhook's requests: in three languages, with its public key if it has one.

import {h, fill, typed} from '../dom.js';
import {card} from '../card.js';
import {ago, now} from '../clock.js';
import {button, tabs} from '../controls.js';
import {dateTime, duration} from '../format.js';
import {copy} from '../toast.js';

const OVERLAP_MS = 24 * 3_600_000;

/** @param {string} key */
const samples = key => /** @type {[string, string, string][]} */ ([
  ['python', 'Python', `from standardwebhooks import Webhook\n\nhook = Webhook("${key}")\nevent = hook.verify(body, headers)`],
  ['node', 'Node', `import {Webhook} from "standardwebhooks"\n\nconst hook = new Webhook("${key}")\nconst event = hook.verify(body, headers)`],
  ['go', 'Go', `hook, _ := standardwebhooks.NewWebhook("${key}")\nerr := hook.Verify(body, headers)`],
]);

/** @param {any} view with `hook` @param {() => void} rotate */
export function signatureCard(view, rotate) {
  const place = h('div', {}), sub = h('span', {class: 'note'}), element = card('Signature', {right: sub}, place);
  let language = 'python';
  return {
    element,
    draw() {
      const {hook} = view, key = hook.public_key ?? 'whsec_…', all = samples(hook.public_key ? `${key.slice(0, 14)}…` : key), changed = Date.parse(hook.secret_changed_at), left = changed + OVERLAP_MS - now();
      sub.textContent = hook.signature === 'v1a' ? 'v1a, ed25519' : 'v1, HMAC';
      const [strip, panel] = tabs('Language', all.map(([name, text]) => [name, text]), language, name => h('pre', {class: 'code', tabindex: 0, role: 'group', 'aria-label': 'Check of the signature'}, all.find(each => each[0] === name)?.[2]), name => { language = name; });
      fill(place, strip, h('div', {class: 'body form'}, panel,
        hook.public_key ? h('p', {class: 'url'}, typed(hook.public_key)) : null,
        h('dl', {class: 'kv'}, h('dt', {}, hook.public_key ? 'This key' : 'This secret'), h('dd', {}, ago(hook.secret_changed_at, dateTime(hook.secret_changed_at))), left > 0 && hook.secret_changed_at !== hook.created_at ? [h('dt', {}, 'The old one signs too'), h('dd', {}, `for ${duration(left / 1000)}`)] : null),
        h('div', {class: 'rowb'}, hook.public_key ? button('Copy the public key', {icon: 'copy', onclick: () => copy(hook.public_key)}) : null, button('Rotate…', {icon: 'key-round', onclick: rotate}))));
    },
  };
}
