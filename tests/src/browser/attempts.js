// What a hostile page tries. Each attempt makes one request, and gives back what the page could
// read of the answer; null when it could read nothing.
//
// `url(name, path)` is where the attempt of this name goes. `token` is the endpoint's own token, or
// the page's guess of it.
async function attempts(url, token) {
  const LIMIT_MS = 20000;
  const models = '/v1/models', chat = '/v1/chat/completions';
  const question = '{"messages":[{"role":"user","content":"Name a river."}],"max_tokens":1}';
  const bearer = { Authorization: `Bearer ${token}` }, own = { 'X-Companion-Token': token };
  const json = { 'Content-Type': 'application/json' };
  const post = (headers) => ({ method: 'POST', body: question, headers });

  // Of an opaque answer a page learns that there was one: that counts as read.
  const fetched = (path, options) => async (name) => {
    const answer = await fetch(url(name, path), { cache: 'no-store', ...options });
    return answer.type === 'opaque' ? 'opaque' : answer.text();
  };
  const requested = (path, { method = 'GET', headers = {}, body = null, credentials = false }) =>
    (name) => new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open(method, url(name, path));
      request.withCredentials = credentials;
      for (const [key, value] of Object.entries(headers)) request.setRequestHeader(key, value);
      request.onload = () => resolve(request.responseText);
      request.onerror = reject;
      request.send(body);
    });
  const element = (tag, properties, read) => (name) => new Promise((resolve, reject) => {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(properties(name))) made[key] = value;
    made.onload = made.onloadedmetadata = () => resolve(read(made, name));
    made.onerror = reject;
    document.body.append(made);
  });
  // The text of another window; nothing yet while it is empty, null when it may not be read.
  const text_of = (window) => {
    try { return window.document.body.textContent || undefined; } catch { return null; }
  };
  const framed = (begin) => (name) => new Promise((resolve) => {
    const frame = document.createElement('iframe');
    frame.name = `frame ${name}`;
    frame.onload = () => {
      const text = text_of(frame.contentWindow);
      if (text !== undefined) resolve(text);
    };
    document.body.append(frame);
    begin(frame, name);
  });
  const form = (method, enctype) => framed((frame, name) => {
    const made = document.createElement('form');
    Object.assign(made, { method, enctype, action: url(name, method === 'post' ? chat : models) });
    made.target = frame.name;
    const field = document.createElement('input');
    Object.assign(field, { name: question.slice(0, -1) + ',"x":"', value: '"}' });
    made.append(field);
    document.body.append(made);
    made.submit();
  });
  const socket = (protocols) => (name) => new Promise((resolve, reject) => {
    const opened = new WebSocket(url(name, models).replace('http', 'ws'), protocols);
    opened.onmessage = (message) => resolve(message.data);
    opened.onerror = reject;
  });
  const events = (options) => (name) => new Promise((resolve, reject) => {
    const source = new EventSource(url(name, models), options);
    source.onmessage = (message) => { source.close(); resolve(message.data); };
    source.onerror = () => { source.close(); reject(); };
  });
  const beacon = (type) => (name) => {
    navigator.sendBeacon(url(name, chat), new Blob([question], { type }));
  };
  const work = (script) => URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  const from_worker = (say) => `fetch(URL_OF_IT, { cache: 'no-store', headers: HEADERS })
    .then((answer) => answer.text()).then(${say}, () => ${say}(null));`;
  const filled = (script, name) => script
    .replace('URL_OF_IT', JSON.stringify(url(name, models)))
    .replace('HEADERS', JSON.stringify(bearer));
  const message_of = (port) => new Promise((resolve) => {
    port.onmessage = (message) => resolve(message.data);
  });

  const all = {
    'fetch': fetched(models, {}),
    'fetch with credentials': fetched(models, { credentials: 'include' }),
    'fetch with the token': fetched(models, { headers: bearer }),
    'fetch with the other header': fetched(models, { headers: own }),
    'fetch of a question': fetched(chat, post(undefined)),
    'fetch of a question with the token': fetched(chat, post({ ...json, ...bearer })),
    'fetch without cors': fetched(models, { mode: 'no-cors' }),
    'fetch without cors but with credentials':
      fetched(models, { mode: 'no-cors', credentials: 'include' }),
    'fetch without cors of a question': fetched(chat, { ...post(undefined), mode: 'no-cors' }),
    'fetch that outlives the page': fetched(chat, { ...post(undefined), keepalive: true }),
    'xhr': requested(models, {}),
    'xhr with credentials': requested(models, { credentials: true }),
    'xhr with the token': requested(models, { headers: bearer }),
    'xhr of a question': requested(chat, { method: 'POST', body: question }),
    'xhr of a question with the token':
      requested(chat, { method: 'POST', body: question, headers: { ...json, ...bearer } }),
    'beacon': beacon('text/plain'),
    'beacon of json': beacon('application/json'),
    'socket': socket([]),
    'socket with the token': socket(['bearer', token]),
    'events': events({}),
    'events with credentials': events({ withCredentials: true }),
    'image': element('img', (name) => ({ src: url(name, models) }), (it) => `${it.naturalWidth}`),
    'audio': element('audio', (name) => ({ src: url(name, models) }), (it) => `${it.duration}`),
    'script': element('script', (name) => ({ src: url(name, models) }), () => window.leaked),
    'module script':
      element('script', (name) => ({ src: url(name, models), type: 'module' }), () => window.leaked),
    'imported module': async (name) => (await import(url(name, models))).leaked,
    'stylesheet': element('link', (name) => ({ href: url(name, models), rel: 'stylesheet' }),
      () => getComputedStyle(document.body).getPropertyValue('--leaked')),
    'preload': element('link', (name) => ({ href: url(name, models), rel: 'preload', as: 'script' }),
      () => 'loaded'),
    'font': async (name) => {
      await new FontFace('leaked', `url("${url(name, models)}")`).load();
      return 'loaded';
    },
    'frame': framed((frame, name) => { frame.src = url(name, models); }),
    'frame in a sandbox': framed((frame, name) => {
      frame.sandbox = 'allow-scripts';
      frame.src = url(name, models);
    }),
    'object': element('object', (name) => ({ data: url(name, models) }),
      (it) => text_of(it.contentWindow)),
    'form': form('get', ''),
    'form of a question': form('post', 'text/plain'),
    'form with fields': form('post', 'application/x-www-form-urlencoded'),
    'form in parts': form('post', 'multipart/form-data'),
    'popup': (name) => new Promise((resolve) => {
      const opened = window.open(url(name, models), '_blank');
      const look = setInterval(() => {
        const text = text_of(opened);
        if (text === undefined) return;
        clearInterval(look);
        opened.close();
        resolve(text);
      }, 20);
    }),
    'ping': (name) => {
      const link = document.createElement('a');
      Object.assign(link, { ping: url(name, chat), href: '#' });
      document.body.append(link);
      link.click();
    },
    'worker': (name) =>
      message_of(new Worker(work(filled(from_worker('postMessage'), name)))),
    'worker that imports': (name) => message_of(new Worker(work(
      `try { importScripts(${JSON.stringify(url(name, models))}); postMessage(self.leaked); }
       catch { postMessage(null); }`))),
    'shared worker': (name) => message_of(new SharedWorker(work(
      `onconnect = ({ ports: [port] }) => {
         ${filled(from_worker('((text) => port.postMessage(text))'), name)} };`)).port),
    'service worker': async (name) => {
      await navigator.serviceWorker.register('/service-worker.js');
      const { active } = await navigator.serviceWorker.ready;
      const { port1, port2 } = new MessageChannel();
      const answer = message_of(port1);
      active.postMessage({ url: url(name, models), headers: bearer }, [port2]);
      return answer;
    },
  };

  const bounded = async ([name, attempt]) => {
    const limit = new Promise((resolve) => setTimeout(() => resolve(null), LIMIT_MS));
    try { return [name, (await Promise.race([attempt(name), limit])) ?? null]; }
    catch { return [name, null]; }
  };
  return Object.fromEntries(await Promise.all(Object.entries(all).map(bounded)));
}
