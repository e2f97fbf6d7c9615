package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
)

// bareUnits is the references' user at the provider that counts units.
const bareUnits = "bare@gmail.example"

// countsUnits is a provider that bills requests by units. Its quota would be all
// that is measured, and is lifted on both sides; what is spent of it has rows of
// its own.
func countsUnits() cloud {
	return cloud{provider: "gmail", domain: "gmail.example",
		flags: []string{"--google-units=-1", "--google-notify-every=-1s"}, settings: map[string]string{"quota_units": "10000000"}}
}

// unitsRows compare the first sync of an account with the bare transfer of the
// same pages and batches, and with the least of units that could be spent on it;
// then they measure how long new mail takes that is told by a subscription.
func unitsRows(ctx context.Context, b *bench) (rows []row, err error) {
	w, secret, err := b.mailWorldAt(ctx, countsUnits(), bareUnits)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	n := b.count(2000, 50)
	if err := w.fill(ctx, bareUnits, n); err != nil {
		return nil, err
	}
	d, err := w.unitsDirect(ctx, bareUnits)
	if err != nil {
		return nil, err
	}
	ours, ref, err := pair{name: "first sync with units",
		path: func(ctx context.Context) (figures, error) { return w.unitsSync(ctx, n) },
		ref:  func(ctx context.Context) (figures, error) { return d.transferBatches(ctx, n) },
	}.run(ctx, b)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("first sync of %d messages of Gmail", n)
	rows = append(rows,
		row{path: name + ", quota lifted", reference: "bare transfer of the same pages and batches", ours: ours["rate"], theirs: ref["rate"], unit: "messages/s"},
		row{path: name + ", units spent", reference: "least possible", ours: ours["units"], theirs: leastUnits(n), unit: "units",
			goal: "at most 1.2", met: ours["units"] <= 1.2*leastUnits(n)},
		row{path: name + ", requests refused", ours: ours["refused"], unit: "requests", goal: "0", met: ours["refused"] == 0})

	body, err := b.sampleBody(ctx)
	if err != nil {
		return nil, err
	}
	n = b.count(200, 5)
	ours, ref, err = pair{name: "pulled notification",
		path: func(ctx context.Context) (figures, error) { return b.pulled(ctx, w, secret, n) },
		ref:  func(ctx context.Context) (figures, error) { return b.pulledBare(ctx, w, d, body, n) },
	}.run(ctx, b)
	if err != nil {
		return nil, err
	}
	const floor = "arrival + history and get at the provider + fsync + signed POST"
	for _, to := range []string{"webhook", "subscriber"} {
		for _, p := range []string{"p50", "p99"} {
			rows = append(rows, row{path: "new mail of Gmail, pulled, to " + to + ", " + p, reference: floor, ours: ours[to+" "+p], theirs: ref[p], unit: "ms"})
		}
	}
	return rows, nil
}

// leastUnits are what a first sync cannot do without: a profile, pages of five
// hundred, and each message once ("Usage limits", Gmail API).
func leastUnits(n int) float64 { return float64(1 + 5*((n+499)/500) + 20*n) }

// unitsSync is firstSync, with what the provider counted of it.
func (w *world) unitsSync(ctx context.Context, n int) (figures, error) {
	w.users++
	address := fmt.Sprintf("mail%d@%s", w.users, w.at.domain)
	got, err := w.firstSyncOf(ctx, address, n)
	if err != nil {
		return nil, err
	}
	var counted struct {
		Units    float64 `json:"units_spent"`
		Refusals map[string]float64
	}
	err = w.control(ctx, http.MethodGet, "/control/counters?user="+url.QueryEscape(address), nil, &counted)
	got["units"], got["refused"] = counted.Units, 0
	for _, refused := range counted.Refusals {
		got["refused"] += refused
	}
	return got, err
}

// unitsDirect is a client of its own at this provider, with a token that a user
// has given to the bench.
type unitsDirect struct {
	base, token string
	http        *http.Client
}

func (w *world) unitsDirect(ctx context.Context, address string) (*unitsDirect, error) {
	p, err := w.providerState()
	if err != nil {
		return nil, err
	}
	token, err := w.signIn(ctx, address, p.Settings["auth_url"], p.Settings["token_url"], p.Settings["client_id"], p.Settings["client_secret"], "https://mail.google.com/")
	return &unitsDirect{base: p.Settings["gmail_url"], token: token, http: w.provider}, err
}

// do asks, and gives the answer's type and body.
func (d *unitsDirect) do(ctx context.Context, method, to, ctype string, body io.Reader) (string, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.base+to, body)
	if err != nil {
		return "", nil, err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	if ctype != "" {
		req.Header.Set("Content-Type", ctype)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s %s", req.URL.Path, resp.Status, b[:min(len(b), 300)])
	}
	return resp.Header.Get("Content-Type"), b, err
}

// transferBatches reads every page of the mailbox, and what is on it by batches,
// and throws it away.
func (d *unitsDirect) transferBatches(ctx context.Context, n int) (figures, error) {
	began, read := time.Now(), 0
	for token := ""; ; {
		_, body, err := d.do(ctx, http.MethodGet, "gmail/v1/users/me/messages?includeSpamTrash=true&maxResults=100&pageToken="+url.QueryEscape(token), "", nil)
		var p struct {
			Messages      []struct{ ID string }
			NextPageToken string
		}
		if err == nil {
			err = json.Unmarshal(body, &p)
		}
		if err != nil {
			return nil, err
		}
		for part := range slices.Chunk(p.Messages, 8) {
			var ids []string
			for _, m := range part {
				ids = append(ids, m.ID)
			}
			got, err := d.batch(ctx, ids)
			if err != nil {
				return nil, err
			}
			read += got
		}
		if token = p.NextPageToken; token == "" {
			break
		}
	}
	if read != n {
		return nil, fmt.Errorf("%d messages are there, and %d were transferred", n, read)
	}
	return figures{"rate": float64(n) / time.Since(began).Seconds()}, nil
}

// batch reads messages by one request and gives how many of them came.
func (d *unitsDirect) batch(ctx context.Context, ids []string) (n int, err error) {
	part := "mimeType,filename"
	for range 4 {
		part = "mimeType,filename,parts(headers," + part + ")"
	}
	query := url.Values{"format": {"full"}, "fields": {"id,threadId,labelIds,snippet,historyId,internalDate,payload(headers," + part + ")"}}.Encode()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, id := range ids {
		p, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/http"}})
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(p, "GET /gmail/v1/users/me/messages/%s?%s HTTP/1.1\r\nAccept: application/json\r\n\r\n", id, query)
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	ctype, answer, err := d.do(ctx, http.MethodPost, "batch/gmail/v1", "multipart/mixed; boundary="+w.Boundary(), &body)
	if err != nil {
		return 0, err
	}
	_, params, err := mime.ParseMediaType(ctype)
	if err != nil {
		return 0, err
	}
	for r := multipart.NewReader(bytes.NewReader(answer), params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		head, err := io.ReadAll(p)
		if err == nil && strings.HasPrefix(string(head), "HTTP/1.1 200") {
			n++
		}
	}
}

// pulled measures from the arrival of a message at the provider.
func (b *bench) pulled(ctx context.Context, w *world, secret string, n int) (figures, error) {
	if err := b.sink.order(ctx, orders{Secret: secret, Arrivals: true}); err != nil {
		return nil, err
	}
	address, err := w.mailbox(ctx, 0)
	if err != nil {
		return nil, err
	}
	sub, err := w.subscribe(ctx)
	if err != nil {
		return nil, err
	}
	defer sub.close()
	var hooks, subs []time.Duration
	for i := range n {
		began := time.Now()
		id, err := w.deliver(ctx, address, i, "")
		if err != nil {
			return nil, err
		}
		at, err := b.sink.arrival(ctx, id)
		if err != nil {
			return nil, err
		}
		told, err := sub.wait(ctx, id)
		if err != nil {
			return nil, err
		}
		hooks, subs = append(hooks, at.Sub(began)), append(subs, told.Sub(began))
	}
	return toBoth(hooks, subs), b.sink.check(ctx, n)
}

func (b *bench) pulledBare(ctx context.Context, w *world, d *unitsDirect, body []byte, n int) (figures, error) {
	if err := b.sink.order(ctx, orders{Secret: bareSecret}); err != nil {
		return nil, err
	}
	p := b.poster(1)
	defer p.transport.CloseIdleConnections()
	_, profile, err := d.do(ctx, http.MethodGet, "gmail/v1/users/me/profile", "", nil)
	var since struct{ HistoryID string }
	if err == nil {
		err = json.Unmarshal(profile, &since)
	}
	if err != nil {
		return nil, err
	}
	var added []string // so that each run leaves as many as it found
	got, err := produce(1, n, func(_, i int) error {
		id, err := w.deliver(ctx, bareUnits, i, "")
		if err != nil {
			return err
		}
		added = append(added, id)
		_, answer, err := d.do(ctx, http.MethodGet, "gmail/v1/users/me/history?startHistoryId="+since.HistoryID, "", nil)
		if err == nil {
			err = json.Unmarshal(answer, &since)
		}
		if err != nil {
			return err
		}
		if _, _, err := d.do(ctx, http.MethodGet, "gmail/v1/users/me/messages/"+id+"?format=full", "", nil); err != nil {
			return err
		}
		if _, err := b.fsyncs(1); err != nil {
			return err
		}
		return p.post(ctx, fmt.Sprintf("evt_%032d", i), body)
	})
	if err != nil {
		return nil, err
	}
	for _, id := range added {
		if err := w.control(ctx, http.MethodDelete, "/control/users/"+bareUnits+"/messages/"+id, nil, nil); err != nil {
			return nil, err
		}
	}
	return got, b.sink.check(ctx, n)
}
