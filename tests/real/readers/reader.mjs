// Node: the ways in which applications take the path out of `req.url`. Answers with each path that it reads, one a line.

import http from 'node:http';
import path from 'node:path';
import url from 'node:url';

const whatwg = (target) => new URL(target, 'http://own.example').pathname;

const READINGS = [
  (target) => target.split('?')[0],
  whatwg,
  (target) => decodeURIComponent(whatwg(target)),
  (target) => path.posix.normalize(decodeURIComponent(whatwg(target))),
  (target) => whatwg(decodeURIComponent(target)),
  (target) => url.parse(target).pathname,
  (target) => path.posix.normalize(decodeURIComponent(target.split('?')[0])),
  (target) => path.win32.normalize(decodeURIComponent(target.split('?')[0])).replaceAll('\\', '/'),
  // A static file server that joins first.
  (target) => path.posix.join('/', target).split('?')[0],
  (target) => path.posix.normalize(unescape(unescape(target.split('?')[0])).split('/').map((segment) => segment.trim()).join('/')),
  // A router that a framework mounts below a prefix: it does not see the prefix.
  (target) => (target.startsWith('/mounted/') ? whatwg(target.slice('/mounted'.length)) : null),
  (target) => whatwg(target.slice(1)),
  // The same below the base path of an upstream URL; what it reads is told as what it is to the others.
  (target) => (target.startsWith('/base/') ? `/base${whatwg(target.slice('/base'.length))}` : null),
  (target) => (target.startsWith('/base/') ? `/base${path.posix.normalize(decodeURIComponent(target.slice('/base'.length).split('?')[0]))}` : null),
];

http.createServer((request, response) => {
  const read = READINGS.map((reading) => {
    try { return reading(request.url); } catch { return null; }
  });
  response.end(read.filter((one) => one !== null).join('\n'));
}).listen(Number(process.argv[2]), '127.0.0.1');
