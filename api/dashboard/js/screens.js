// All screens, in the order of the navigation. A screen `name` is js/screens/{name}.js and css/screens/{name}.css.

/**
 * @typedef {object} Screen
 * @property {string} name
 * @property {string[]} paths
 * @property {string} title
 * @property {string} [icon] of Lucide; a screen with one stands in the navigation
 * @property {'profile' | 'manage' | 'server'} [group] of the navigation
 * @property {string} [key] the second key of `g …`
 * @property {boolean} [short] whether it stands in a phone's tab bar
 * @property {string[]} [roles] who sees it in the navigation; everybody if left out
 * @property {boolean} [operator] whether only the operator sees it there
 * @property {boolean} [open] whether it needs no session
 * @property {string} [style] its stylesheet, if not of its name
 */

/** @type {Screen[]} */
export const SCREENS = [
  {name: 'signin', paths: ['/login'], title: 'Sign in', open: true, style: 'gate'},
  {name: 'join', paths: ['/join'], title: 'Join', open: true, style: 'gate'},
  {name: 'reset', paths: ['/reset'], title: 'Forgotten password', open: true, style: 'gate'},
  {name: 'setup', paths: ['/setup'], title: 'Set up', open: true, style: 'gate'},
  {name: 'shared', paths: ['/shared'], title: 'Shared figures', open: true},
  {name: 'profiles', paths: ['/', '/profiles'], title: 'Profiles'},
  {name: 'account', paths: ['/account'], title: 'Account'},
  {name: 'keys', paths: ['/account/keys', '/account/keys/:id'], title: 'API keys', icon: 'key-round', group: 'server', key: 'k'},
  {name: 'overview', paths: ['/p/:handle'], title: 'Overview', icon: 'layout-dashboard', group: 'profile', key: 'o', short: true},
  {name: 'page', paths: ['/p/:handle/page'], title: 'Page', icon: 'panels-top-left', group: 'profile', key: 'p'},
  {name: 'assets', paths: ['/p/:handle/assets', '/p/:handle/assets/:id'], title: 'Pictures', icon: 'images', group: 'profile', key: 'i'},
  {name: 'links', paths: ['/p/:handle/links', '/p/:handle/links/:id'], title: 'Links', icon: 'link', group: 'profile', key: 'l', short: true},
  {name: 'analytics', paths: ['/p/:handle/analytics'], title: 'Analytics', icon: 'chart-line', group: 'profile', key: 'a', short: true},
  {name: 'live', paths: ['/p/:handle/live'], title: 'Live', icon: 'activity', group: 'profile', key: 'v'},
  {name: 'experiments', paths: ['/p/:handle/experiments', '/p/:handle/experiments/:id'], title: 'Experiments', icon: 'flask-conical', group: 'profile', key: 'e'},
  {name: 'conversions', paths: ['/p/:handle/conversions'], title: 'Conversions', icon: 'shopping-bag', group: 'profile', key: 'c'},
  {name: 'team', paths: ['/p/:handle/team'], title: 'Team', icon: 'users', group: 'manage', key: 't'},
  {name: 'activity', paths: ['/p/:handle/activity'], title: 'Activity', icon: 'history', group: 'manage', key: 'y', roles: ['owner', 'admin', 'editor']},
  {name: 'webhooks', paths: ['/p/:handle/webhooks', '/p/:handle/webhooks/:id'], title: 'Webhooks', icon: 'webhook', group: 'manage', key: 'w', roles: ['owner', 'admin']},
  {name: 'settings', paths: ['/p/:handle/settings'], title: 'Settings', icon: 'settings', group: 'manage', key: 's'},
  {name: 'domains', paths: ['/p/:handle/domains', '/p/:handle/domains/:id'], title: 'Domains', icon: 'globe', group: 'manage', key: 'd'},
  {name: 'jobs', paths: ['/jobs'], title: 'Jobs', icon: 'list-checks', group: 'server'},
  {name: 'system', paths: ['/system'], title: 'System', icon: 'server', group: 'server', key: 'z', operator: true},
  {name: 'reports', paths: ['/system/reports'], title: 'Reports', icon: 'flag', group: 'server', key: 'r', operator: true},
];

/**
 * Whether a reader may go to a screen of the navigation: that of a profile only with one.
 * @param {Screen} screen @param {{me?: any, profile?: any, role?: string}} reader `role` unknown: every role may
 */
export const isFor = (screen, {me, profile, role}) => (screen.group === 'server' || Boolean(profile)) && (!screen.roles || !role || screen.roles.includes(role)) && (!screen.operator || Boolean(me?.is_operator));
