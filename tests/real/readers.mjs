// Programs that nobody here wrote, each of which reads the path of a target in its own ways, and says which paths it read.

import fs from 'node:fs';
import path from 'node:path';

import { accepts, folder, freePort, here, program, until } from './house.mjs';

const source = (name) => path.join(here, 'readers', name);
const JARS = '/usr/share/java';
const TOMCAT = [`${JARS}/tomcat10-embed-core.jar`];
const JETTY = [...['server', 'http', 'io', 'util', 'servlet', 'security'].map((part) => `${JARS}/jetty9-${part}.jar`), `${JARS}/servlet-api.jar`];

/** Starts all of them: `{ name: port }`. */
export async function readers(t) {
  const dir = folder(t);
  fs.chmodSync(dir, 0o755);
  const ports = {};
  const start = async (names, command, args, options = {}) => {
    const own = [];
    for (const name of names) own.push(ports[name] = await freePort());
    return { own, started: program(t, command, args(...own), { cwd: dir, ...options }) };
  };
  const java = (file, jars, ...more) => (...own) => ['-XX:TieredStopAtLevel=1', '-Xshare:auto', ...(jars.length ? ['-cp', jars.join(':')] : []), source(file), ...own.map(String), ...more];

  const node = await start(['node'], process.execPath, (port) => [source('reader.mjs'), String(port)]);
  const all = [
    node,
    await start(['php'], 'php', (port) => ['-S', `127.0.0.1:${port}`, source('reader.php')]),
    await start(['python', 'wsgi'], 'python3', (...own) => [source('reader.py'), ...own.map(String)]),
    await start(['jdk'], 'java', java('Jdk.java', [])),
    await start(['tomcat', 'tomcat-lax'], 'java', java('TomcatReader.java', TOMCAT, dir)),
    await start(['jetty', 'jetty-lax'], 'java', java('JettyReader.java', JETTY)),
    await start(['nginx', 'nginx-slashes', 'nginx-uri', 'nginx-prefix'], nginxProgram(), (...own) => {
      fs.writeFileSync(path.join(dir, 'nginx.conf'), nginx(dir, ports.node, own));
      return ['-e', 'stderr', '-p', dir, '-c', path.join(dir, 'nginx.conf')];
    }),
    await start(['apache', 'apache-proxy', 'apache-rewrite'], apacheProgram(), (...own) => {
      fs.writeFileSync(path.join(dir, 'apache.conf'), apache(dir, ports.node, own));
      return ['-X', '-d', dir, '-f', path.join(dir, 'apache.conf')];
    }),
  ];
  for (const { own, started } of all) {
    for (const port of own) await until(`a reader on port ${port} to serve`, () => accepts(port), { started, within: 20_000 });
  }
  return ports;
}

const nginxProgram = () => (fs.existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx');
const apacheProgram = () => (fs.existsSync('/usr/sbin/apache2') ? '/usr/sbin/apache2' : 'apache2');

/** What it has decoded, merged and resolved; the same without merging; and passed on to Node, as it is or put together anew. */
function nginx(dir, node, [plain, slashes, uri, prefix]) {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${dir}/${kind};`).join('\n  ');
  const says = ['/admin/assets', '/admin', '/public', '/base/admin', '/base', ''].map((place) => `location ~ ^${place}(/|$) { return 200 "${place || '/'}\n$uri"; }`).join('\n    ');
  const server = (port, rest) => `server { listen 127.0.0.1:${port}; keepalive_requests 1000000; ${rest} }`;
  return `
${process.getuid() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr crit;
events { worker_connections 256; }
http {
  ${temporary}
  access_log off;
  default_type text/plain;
  ${server(plain, says)}
  ${server(slashes, `merge_slashes off; ${says}`)}
  ${server(uri, `location / { proxy_pass http://127.0.0.1:${node}$uri; }`)}
  ${server(prefix, `location / { proxy_pass http://127.0.0.1:${node}/; }`)}
}
`;
}

/** What it has decoded and resolved, told in a field; and passed on to Node by its proxy, and by its rewriting. */
function apache(dir, node, [plain, proxy, rewrite]) {
  const modules = ['mpm_event', 'authz_core', 'headers', 'rewrite', 'proxy', 'proxy_http'].map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n');
  const host = (port, rest) => `Listen 127.0.0.1:${port}\n<VirtualHost 127.0.0.1:${port}>\nAllowEncodedSlashes On\n${rest}\n</VirtualHost>`;
  return `
${modules}
ServerName localhost
PidFile ${dir}/apache.pid
ErrorLog /dev/null
MaxKeepAliveRequests 0
MergeSlashes On
${host(plain, 'Header always set X-Read "expr=%{REQUEST_URI}"')}
${host(proxy, `ProxyPass / http://127.0.0.1:${node}/`)}
${host(rewrite, `RewriteEngine On\nRewriteRule ^/(.*)$ http://127.0.0.1:${node}/$1 [P,NE,UnsafeAllow3F]`)}
`;
}
