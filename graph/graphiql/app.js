// Starts GraphiQL. Queries and mutations go by POST, subscriptions by server-sent
// events over the same POST.
'use strict';
(() => {
  const root = document.getElementById('graphiql');
  const { endpoint, key } = root.dataset;

  const operationType = (document, name) => {
    const operations = (document ? document.definitions : []).filter((d) => d.kind === 'OperationDefinition');
    const chosen = operations.find((d) => d.name && d.name.value === name) || operations[0];
    return chosen ? chosen.operation : 'query';
  };

  const post = (params, headers, accept, signal) =>
    fetch(endpoint, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Accept: accept, Authorization: 'Bearer ' + key, ...headers },
      body: JSON.stringify(params),
      signal,
    });

  // subscribe yields each result of a stream: events are separated by an empty
  // line, and only `next` carries data.
  async function* subscribe(params, headers) {
    const abort = new AbortController();
    try {
      const response = await post(params, headers, 'text/event-stream', abort.signal);
      if (!(response.headers.get('Content-Type') || '').startsWith('text/event-stream')) {
        yield await response.json();
        return;
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let buffer = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        buffer += value;
        for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
          const lines = buffer.slice(0, end).split('\n');
          buffer = buffer.slice(end + 2);
          if (lines.includes('event: complete')) return;
          const data = lines.find((line) => line.startsWith('data: '));
          if (lines.includes('event: next') && data) yield JSON.parse(data.slice(6));
        }
      }
    } finally {
      abort.abort();
    }
  }

  const fetcher = (params, options = {}) =>
    operationType(options.documentAST, params.operationName) === 'subscription'
      ? subscribe(params, options.headers)
      : post(params, options.headers, 'application/json').then((response) => response.json());

  const defaultQuery = `# The newest messages of every account.
query Newest {
  accounts {
    edges {
      node {
        address
        state
        messages(first: 10) {
          totalCount
          edges { node { id receivedAt subject from { name email } preview } }
        }
      }
    }
  }
}

# Everything that happens from now on.
subscription Live {
  events { type sequence cursor account { address } message { subject keywords } }
}
`;

  ReactDOM.createRoot(root).render(
    React.createElement(GraphiQL, { fetcher, defaultQuery, shouldPersistHeaders: false }),
  );
})();
