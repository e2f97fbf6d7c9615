package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// listQuery is a page of mail as a list shows it.
const listQuery = `query($id: ID!) { account(id: $id) { messages(first: 50) { edges { cursor node { id subject from { name email } to { name email } receivedAt keywords preview size hasAttachments thread { id } mailboxes { id name } } } pageInfo { hasNextPage endCursor } } } }`

// listRows compare a list of 50 messages with a handler that has the same bytes
// at hand.
func listRows(ctx context.Context, b *bench) (rows []row, err error) {
	w, _, err := b.mailWorld(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	const address = "list@contoso.example"
	if err := errors.Join(w.user(ctx, address), w.fill(ctx, address, 200)); err != nil {
		return nil, err
	}
	account, err := w.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	if err := w.inStep(ctx, account); err != nil {
		return nil, err
	}
	question, err := json.Marshal(map[string]any{"query": listQuery, "variables": map[string]any{"id": account}})
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	defer client.CloseIdleConnections()
	ask := func(ctx context.Context, to string) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(question))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+w.key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}
	answer, err := ask(ctx, w.base+"/graphql")
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(answer, []byte(`"cursor"`)); n != 50 || bytes.Contains(answer, []byte(`"errors"`)) {
		return nil, fmt.Errorf("the list has %d messages: %s", n, answer[:min(len(answer), 300)])
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, b.sink.url+"/answer", bytes.NewReader(answer))
	if err != nil {
		return nil, err
	}
	if err := call(req, nil); err != nil {
		return nil, err
	}
	measure := func(to string) func(context.Context) (figures, error) {
		return func(ctx context.Context) (figures, error) {
			return produce(4, b.count(2000, 8), func(int, int) error {
				got, err := ask(ctx, to)
				if err == nil && len(got) != len(answer) {
					err = fmt.Errorf("an answer has %d bytes, not %d", len(got), len(answer))
				}
				return err
			})
		}
	}
	ours, ref, err := pair{name: "list", path: measure(w.base + "/graphql"), ref: measure(b.sink.url + "/answer")}.run(ctx, b)
	if err != nil {
		return nil, err
	}
	const reference = "a handler that returns the same bytes"
	return []row{
		{path: fmt.Sprintf("GraphQL, list of 50 (%d KiB)", len(answer)>>10), reference: reference, ours: ours["rate"], theirs: ref["rate"], unit: "/s"},
		{path: "GraphQL, list of 50, p50", reference: reference, ours: ours["p50"], theirs: ref["p50"], unit: "ms"},
	}, nil
}
