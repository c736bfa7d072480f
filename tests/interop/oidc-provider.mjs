// oidc-provider as the authorization server of the interoperation tests. Not for production: its
// own development pages sign in whoever fills them in.
//
// Standard input: one line of JSON, then it stays open for as long as the server is wanted:
//   modules          directory `node_modules` with oidc-provider in it
//   pem              file with the certificate chain and the private key
//   host, path       of the issuer; the port is the kernel's choice
//   inserted         whether metadata lies where RFC 8414 puts it, else only below the issuer
//   access_token_s   seconds an access token lives
//   resource_server  { client_id, client_secret } of whoever may introspect
//   known_client_id  a public client with any loopback port, known without registration
//   scopes           what may be asked for beside openid
// Standard output: one line of JSON with the issuer and two endpoints, once it serves.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import { randomBytes } from 'node:crypto';
import { pathToFileURL } from 'node:url';

const METADATA = '/.well-known/oauth-authorization-server';

// Nobody reads standard output after the first line.
console.info = console.error;

const options = await firstLine();
const { default: Provider } = await import(
  pathToFileURL(`${options.modules}/oidc-provider/lib/index.js`).href
);
const pem = readFileSync(options.pem);
const server = createServer({ cert: pem, key: pem });
server.listen(0, '127.0.0.1', () => {
  const issuer = `https://${options.host}:${server.address().port}${options.path}`;
  const provider = new Provider(issuer, configuration());
  provider.on('server_error', (_, error) => console.error(error));
  const answer = provider.callback();
  server.on('request', (request, response) => serve(answer, request, response));
  const places = {
    issuer,
    token_endpoint: `${issuer}/token`,
    introspection_endpoint: `${issuer}/token/introspection`,
  };
  process.stdout.write(`${JSON.stringify(places)}\n`);
});

/** The options; the end of the input ends this program. */
function firstLine() {
  return new Promise((resolve) => {
    const lines = createInterface({ input: process.stdin });
    lines.once('line', (line) => resolve(JSON.parse(line)));
    lines.once('close', () => process.exit(0));
  });
}

function configuration() {
  const { resource_server: resourceServer, known_client_id: knownClient } = options;
  return {
    clients: [
      { ...resourceServer, redirect_uris: [], response_types: [], grant_types: [] },
      {
        client_id: knownClient,
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        redirect_uris: ['http://127.0.0.1/callback'],
        grant_types: ['authorization_code', 'refresh_token'],
      },
    ],
    scopes: ['openid', ...options.scopes],
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    ttl: {
      AccessToken: options.access_token_s,
      Grant: 3600,
      IdToken: 3600,
      Interaction: 600,
      RefreshToken: 3600,
      Session: 3600,
    },
    features: {
      devInteractions: { enabled: true },
      introspection: { enabled: true },
      registration: { enabled: true },
      revocation: { enabled: true },
    },
    // A native application is not asked for offline_access: it renews while it may.
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  };
}

/** Mounts the provider at the issuer's path, and its metadata at one of two places. */
function serve(answer, request, response) {
  const wellKnown = `${METADATA}${options.path}`;
  const below = `${options.path}${METADATA}`;
  const at = options.inserted ? wellKnown : below;
  request.originalUrl = request.url;
  if (request.url === at) {
    request.url = METADATA;
    request.originalUrl = below;
  } else if (request.url.includes(METADATA) || !request.url.startsWith(`${options.path}/`)) {
    response.writeHead(404).end();
    return;
  } else {
    request.url = request.url.slice(options.path.length);
  }
  answer(request, response);
}
