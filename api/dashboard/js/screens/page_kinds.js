// Kinds of blocks: their words, icon or sign, fields and what a new one begins with. A field is [name, control, label, more].

import {plural} from '../format.js';

/** @typedef {[string, string, string, any?]} Row */

const STYLES = [['plain', 'Plain'], ['picture', 'With a small picture'], ['featured', 'Featured, with a large picture'], ['filled', 'Filled'], ['centre', 'Centred']];
/** @type {Row} */
const TITLE = ['title', 'text', 'Title', {max: 120}];
/** @type {Row} */
const LINE = ['line', 'text', 'Line below', {max: 160}];
/** @type {Row} */
const CAPTION = ['caption', 'text', 'Line below', {max: 160}];
/** @type {Row} */
const PICTURE = ['picture', 'picture', 'Picture'];
/** @type {Row} */
const ALT = ['alt', 'text', 'What the picture shows', {max: 300, help: 'For who cannot see it. Empty: it adds nothing.'}];
/** @type {Row[]} */
const LEADS = [['link_id', 'link', 'Leads to', {none: 'The URL below'}], ['url', 'url', 'URL', {help: 'Clicks are counted for links only.'}]];
/** @type {Row[]} */
const PLAYS = [TITLE, LINE, ...LEADS, PICTURE, ['duration_s', 'number', 'Length in seconds', {min: 0, max: 86_400}]];
/** @type {Row[]} */
const ITEM = [['url', 'url', 'Address', {help: 'https://…, mailto:… or tel:…'}]];
/** @type {Row[]} */
const QUESTION = [['question', 'text', 'Question', {max: 200}], ['answer', 'lines', 'Answer', {max: 1000}]];
const MARKDOWN = '*emphasis*, **strong**, [a link](https://…), and lists with -';

const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
const inDays = (/** @type {number} */ days) => new Date(Math.ceil(Date.now() / 3_600_000) * 3_600_000 + days * 86_400_000).toISOString();

/** @type {Record<string, {words: string, icon?: string, sign?: string, help: string, fields: Row[], make?: () => any}>} */
export const KINDS = {
  link: {words: 'Link', icon: 'link', help: 'One of your links, in five looks', fields: [['link_id', 'link', 'Link'], ['title', 'text', 'Title', {max: 120, help: 'Empty: the link’s own.'}], LINE, ['style', 'choice', 'Looks like', {items: STYLES, usual: 'plain'}], ['badge', 'text', 'Badge', {max: 12}], PICTURE]},
  heading: {words: 'Heading', sign: 'H', help: 'Above the blocks that follow', fields: [['text', 'text', 'Heading', {max: 80}]], make: () => ({text: 'Heading'})},
  text: {words: 'Text', sign: '¶', help: 'Some lines, with emphasis and lists', fields: [['text', 'lines', 'Text', {max: 2000, help: MARKDOWN}]], make: () => ({text: 'Text'})},
  image: {words: 'Image', icon: 'image', help: 'A picture, which may lead to a link', fields: [PICTURE, ALT, CAPTION, ['link_id', 'link', 'Leads to', {none: 'Nowhere'}]]},
  gallery: {words: 'Gallery', icon: 'layout-grid', help: 'Two to six pictures in a grid', fields: [['pictures', 'items', 'Picture', {fields: [PICTURE, ALT], min: 2, max: 6}], CAPTION], make: () => ({pictures: [{}, {}]})},
  social: {words: 'Accounts elsewhere', sign: '@', help: 'A row of icons', fields: [['items', 'items', 'Account', {fields: ITEM, min: 1, max: 12, fresh: () => ({url: 'https://'})}]], make: () => ({items: [{url: 'https://'}]})},
  repository: {words: 'Repository', icon: 'book-open', help: 'Stars, language and release from GitHub', fields: [['link_id', 'repository', 'Repository']]},
  video: {words: 'Video', icon: 'play', help: 'Nothing of it is loaded before it plays', fields: PLAYS, make: () => ({title: 'Video'})},
  audio: {words: 'Sound', sign: '♪', help: 'A song, an episode', fields: PLAYS, make: () => ({title: 'Sound'})},
  product: {words: 'Product', icon: 'tag', help: 'With its price', fields: [TITLE, LINE, ['price', 'text', 'Price', {max: 13, help: 'Such as 4.50'}], ['currency', 'text', 'Currency', {max: 3, help: 'Such as EUR'}], ...LEADS, PICTURE, ALT], make: () => ({title: 'Product'})},
  event: {words: 'Event', icon: 'calendar', help: 'Visitors add it to their calendar', fields: [TITLE, ['starts_at', 'moment', 'Starts'], ['ends_at', 'moment', 'Ends'], ['zone', 'zone', 'Shown in the zone', {usual: 'UTC'}], ['place', 'text', 'Place', {max: 160}], LINE], make: () => ({title: 'Event', starts_at: inDays(7), zone: zone()})},
  until: {words: 'Until', icon: 'hourglass', help: 'A sentence that goes by itself', fields: [['text', 'text', 'Sentence', {max: 160}], ['ends_at', 'moment', 'Goes at'], ['zone', 'zone', 'Shown in the zone', {usual: 'UTC'}]], make: () => ({text: 'Only for a while', ends_at: inDays(7), zone: zone()})},
  contact: {words: 'Contact', icon: 'circle-user-round', help: 'Visitors save it to their address book', fields: [['name', 'text', 'Name', {max: 120}], ['organisation', 'text', 'Organisation', {max: 120}], ['email', 'text', 'E-mail', {max: 120}], ['phone', 'text', 'Phone', {max: 32}]], make: () => ({name: 'Contact'})},
  faq: {words: 'Questions', sign: '?', help: 'With answers that visitors open', fields: [['questions', 'items', 'Question', {fields: QUESTION, min: 1, max: 10, fresh: () => ({question: 'Question', answer: 'Answer'})}]], make: () => ({questions: [{question: 'Question', answer: 'Answer'}]})},
  email_form: {words: 'Letter', icon: 'mail', help: 'Asks visitors for their mail address', fields: [TITLE, LINE, ['button', 'text', 'Button', {max: 40, help: 'Empty: in the page’s language.'}], ['consent', 'text', 'What they agree to', {max: 160}], ['double_opt_in', 'check', 'An address counts once its owner has confirmed it by mail']], make: () => ({title: 'Letters'})},
  qr: {words: 'QR code', sign: '⊞', help: 'Of the page itself', fields: [CAPTION]},
  divider: {words: 'Line', icon: 'minus', help: 'Between blocks', fields: []},
};

/** Fields of every kind. @type {Row[]} */
export const ALWAYS = [['from', 'moment', 'Shown from'], ['until', 'moment', 'Shown until']];
/** Fields of the page's head. @type {Row[]} */
export const HEADER = [['name', 'text', 'Name', {max: 120, help: 'Empty: the profile’s title.'}], ['bio', 'lines', 'A few lines below', {max: 300}], PICTURE, ['picture_alt', 'text', 'What the picture shows', {max: 300}], ['social', 'items', 'Account', {fields: ITEM, min: 0, max: 12, fresh: () => ({url: 'https://'})}], ['language', 'text', 'Language of the texts', {help: 'Such as en or pt-BR'}]];
/** Fields of the card that networks show. @type {Row[]} */
export const SHARING = [['title', 'text', 'Title', {max: 120, help: 'Empty: the name.'}], ['text', 'lines', 'Text', {max: 300, help: 'Empty: the lines below the name.'}], ['picture', 'picture', 'Picture', {help: 'Empty: one is drawn.'}]];

/**
 * What a row calls a block, and what stands below that.
 * @param {any} block @param {Map<string, any>} links by id @returns {[string, string]}
 */
export function wordsOf(block, links) {
  const kind = KINDS[block.kind] ?? {words: block.kind}, link = links.get(block.link_id);
  const own = block.title || block.text || block.name || block.caption || (block.questions && block.questions[0]?.question) || (link && (link.title || link.slug));
  const more = link ? `/${link.slug}` : block.items ? plural(block.items.length, 'account') : block.pictures ? plural(block.pictures.length, 'picture') : block.questions ? plural(block.questions.length, 'question') : '';
  return [(own || kind.words).split('\n')[0].replaceAll(/[*_`]+/g, '').slice(0, 90), [kind.words, more].filter(Boolean).join(' · ')];
}
