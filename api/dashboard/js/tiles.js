// Countries as tiles: one square each, so that small ones are seen; the four shades are quarters of those with counts.

import {svg} from './dom.js';
import {country, number} from './format.js';

// Where each country stands: column and row, about as they lie on a map.
const PLACES = `
CA 3 3|US 3 4|MX 3 5|GT 3 6|SV 4 7|HN 4 6|NI 5 7|CR 5 8|PA 6 8|CU 6 5|JM 6 6|HT 7 5|DO 8 5|PR 9 5|BZ 4 5|BS 6 4|TT 9 7|BB 10 6
CO 7 8|VE 8 7|GY 9 8|SR 10 8|EC 6 9|PE 6 10|BR 9 9|BO 8 10|PY 9 10|CL 7 11|AR 8 11|UY 9 11|GL 9 0
IS 12 0|NO 15 0|SE 16 0|FI 17 0|IE 12 1|GB 13 1|DK 15 1|EE 17 1|LV 18 1|LT 17 2|NL 14 2|BE 13 2|LU 13 3|DE 15 2|PL 16 2|BY 18 2|RU 20 1
FR 13 4|CH 14 3|LI 14 4|AT 15 3|CZ 16 3|SK 17 3|HU 17 4|SI 15 4|HR 16 4|UA 18 3|MD 19 3|RO 18 4|RS 17 5|BA 16 5|ME 16 6|AL 17 6|MK 18 6|BG 18 5|GR 18 7|XK 19 6
PT 11 5|ES 12 5|AD 13 5|MC 14 5|IT 15 5|SM 14 6|VA 15 6|MT 15 7|CY 19 7|TR 20 5|GE 20 4|AM 21 4|AZ 22 4|GI 12 6
MA 11 7|DZ 12 7|TN 13 7|LY 14 8|EG 16 8|SD 17 9|SS 17 10|ER 18 9|DJ 19 10|ET 18 10|SO 19 11|MR 11 8|SN 10 9|GM 10 10|GW 9 12|GN 11 10|SL 11 11|LR 12 11|CI 12 10|ML 12 8|BF 12 9|GH 13 10|TG 13 11|BJ 14 10|NE 13 8|NG 14 9|TD 15 9|CF 16 10|CM 15 10|GA 14 11|CG 15 11|CD 16 11|UG 17 11|KE 18 11|RW 16 12|BI 16 13|TZ 17 12|AO 15 12|ZM 15 13|MW 17 13|MZ 17 14|ZW 16 14|BW 15 14|NA 14 13|ZA 15 15|LS 16 16|SZ 16 15|MG 19 14|MU 20 14|SC 20 12|CV 11 9
IL 19 8|PS 20 8|LB 19 9|JO 20 9|SY 20 7|IQ 21 7|IR 22 7|KW 21 8|SA 21 9|BH 22 8|QA 22 9|AE 23 9|OM 23 10|YE 22 10
KZ 22 3|UZ 22 5|TM 22 6|KG 23 4|TJ 23 5|AF 23 6|PK 23 7|IN 24 8|NP 24 7|BT 25 7|BD 25 8|LK 24 10|MV 23 11|MN 25 4|CN 25 5|HK 26 7|MO 25 6|TW 27 7|KP 27 4|KR 27 5|JP 29 5|MM 26 8|TH 26 9|LA 27 8|VN 28 8|KH 27 9|MY 26 10|SG 26 11|ID 27 11|BN 28 10|PH 29 8|TL 28 11
PG 29 11|AU 28 13|NZ 30 14|FJ 30 12|NC 29 12|PF 31 12|WS 31 11`;
const SIZE = 11, COLUMNS = 32, ROWS = 17;

/** @type {[string, number, number][]} */
const TILES = PLACES.trim().split(/[|\n]/).map(place => {
  const [code, column, row] = place.split(' ');
  return [code, Number(column), Number(row)];
});

/**
 * The map. Countries with counts are links.
 * @param {{country: string | null, value: number}[]} rows @param {(code: string) => string} hrefOf @param {string} [unit]
 */
export function tileMap(rows, hrefOf, unit = 'clicks') {
  const counts = new Map(rows.filter(row => row.country && row.value > 0).map(row => [row.country, row.value]));
  const sorted = [...counts.values()].sort((a, b) => a - b);
  const shade = (/** @type {number} */ value) => Math.ceil((sorted.lastIndexOf(value) + 1) / sorted.length * 4);
  const tile = (/** @type {[string, number, number]} */ [code, column, row]) => {
    const value = counts.get(code), x = column * SIZE, y = row * SIZE;
    const parts = [svg('rect', {class: value ? `q${shade(value)}` : null, x, y, width: SIZE - 1, height: SIZE - 1, rx: 1.5}), svg('text', {x: x + 5, y: y + 6.6}, code)];
    if (!value) return svg('g', {}, parts);
    const name = `${country(code)}: ${number(value)} ${unit}`;
    return svg('a', {href: () => hrefOf(code), 'aria-label': `${name}; filter by it`}, svg('title', {}, name), parts);
  };
  return svg('svg', {class: 'tiles', viewBox: `0 0 ${COLUMNS * SIZE} ${ROWS * SIZE}`, role: 'group', 'aria-label': 'Countries as tiles'}, TILES.map(tile));
}
