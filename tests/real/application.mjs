// A real application: Debian's nginx serving a directory and telling which identity it was sent, and a WebSocket that says everything back.

import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';

import { WebSocketServer } from 'ws';

import { accepts, folder, freePort, program, until } from './house.mjs';

/** Starts both; `routes` is their part of the configuration. */
export async function application(t) {
  const dir = folder(t);
  const port = await freePort();
  fs.mkdirSync(path.join(dir, 'www/deep'), { recursive: true });
  fs.chmodSync(dir, 0o755);
  fs.writeFileSync(path.join(dir, 'www/index.html'), '<!doctype html><title>Files</title><h1>Files</h1>');
  fs.writeFileSync(path.join(dir, 'www/deep/page.html'), '<!doctype html><title>Deep</title><h1>The deep page</h1>');
  fs.writeFileSync(path.join(dir, 'www/large.bin'), Buffer.alloc(LARGE, 'vestibule'));
  fs.writeFileSync(path.join(dir, 'nginx.conf'), configuration(dir, port));
  const nginx = program(t, fs.existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx', ['-e', 'stderr', '-p', dir, '-c', path.join(dir, 'nginx.conf')]);
  await until('nginx to serve', () => accepts(port), { started: nginx });

  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(sockets, 'listening');
  const handshakes = [];
  sockets.on('connection', (socket, request) => {
    handshakes.push(request.headers);
    socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary }));
  });
  t.after(() => { for (const socket of sockets.clients) socket.terminate(); sockets.close(); });
  return { routes: routes(port, sockets.address().port), handshakes, nginx };
}

export const LARGE = 9 * 1024 * 1024;

function routes(files, socket) {
  return `
[route.files]
upstream = "http://127.0.0.1:${files}"

[route.socket]
path = "/socket"
upstream = "http://127.0.0.1:${socket}"
`;
}

function configuration(dir, port) {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${dir}/${kind};`).join('\n  ');
  const user = process.getuid() === 0 ? 'user root;' : '';
  return `
${user}
daemon off;
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  ${temporary}
  access_log off;
  types { text/html html; application/octet-stream bin; }
  server {
    listen 127.0.0.1:${port};
    root ${dir}/www;
    location = /whoami {
      default_type text/plain;
      return 200 "user=$http_x_forwarded_user\\nemail=$http_x_forwarded_email\\nname=$http_x_forwarded_preferred_username\\ngroups=$http_x_forwarded_groups\\nremote=$http_remote_user\\ncookie=$http_cookie\\nauthorization=$http_authorization\\n";
    }
  }
}
`;
}
