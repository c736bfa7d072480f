// Fetches what the page tells it to, and says what it could read.
onmessage = (message) => {
  const { url, headers } = message.data;
  const say = (text) => message.ports[0].postMessage(text);
  message.waitUntil(fetch(url, { cache: 'no-store', headers })
    .then((answer) => answer.text()).then(say, () => say(null)));
};
