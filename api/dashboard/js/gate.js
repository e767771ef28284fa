// The pages before the frame: a form at the left, hills and a signpost at the right.

import {h, svg} from './dom.js';
import {brand} from './shell.js';

/**
 * Return a page of the gate.
 * @param {string} title @param {any} lead @param {...any} children
 */
export function gate(title, lead, ...children) {
  return h('div', {class: 'gate'},
    h('main', {class: 'gatein', id: 'main', tabindex: -1}, brand(),
      h('div', {class: 'gatebox'}, h('h1', {}, title), lead && h('p', {class: 'lead'}, lead), children),
      h('p', {class: 'gatefoot'}, h('a', {href: '/docs'}, 'API reference'))),
    art());
}

const art = () => svg('svg', {class: 'art', viewBox: '0 0 640 800', preserveAspectRatio: 'xMidYMax slice', 'aria-hidden': 'true'},
  svg('circle', {class: 'sun', cx: 470, cy: 250, r: 70}),
  svg('path', {class: 'far', d: 'M0 520C120 430 240 470 330 510S540 440 640 480V800H0Z'}),
  svg('path', {class: 'mid', d: 'M0 600C150 530 300 620 420 590S580 550 640 580V800H0Z'}),
  svg('path', {class: 'near', d: 'M0 700C160 640 330 720 460 690S600 660 640 680V800H0Z'}),
  svg('path', {class: 'road', d: 'M250 800C300 740 420 720 380 660S300 610 345 575 400 540 380 522L388 522C410 545 372 575 352 600S400 640 420 680 380 750 370 800Z'}),
  svg('path', {class: 'post', d: 'M296 300h16v400h-16z'}),
  board('M196 322h150l34 26-34 26H196z', 214, 355, '/spring', 'a'),
  board('M412 398H270l-34 26 34 26h142z', 280, 431, '/video', 'b'),
  board('M214 474h126l30 24-30 24H214z', 232, 505, '/shop', 'c'));

/** @param {string} d @param {number} x @param {number} y @param {string} text @param {string} shade */
const board = (d, x, y, text, shade) => [svg('path', {class: `board ${shade}`, d}), svg('text', {x, y}, text)];
