package gmail

import (
	"bufio"
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
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/googleapi"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
)

// batchRounds is how often a part is sent.
const batchRounds = 6

// part is one GET inside a batch.
type part struct {
	cost  method
	path  string // below gmail/v1/users/me/
	query url.Values
}

// answer is what became of a part: JSON, or an error.
type answer struct {
	body []byte
	err  error
}

// decode reads the answer into a value of the API.
func (a *answer) decode(op string, into any) error {
	if a.err != nil {
		return a.err
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		// The decoder's text may quote the answer.
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: codeBadAnswer, Message: "Gmail's answer cannot be read"}
	}
	return nil
}

// batch sends parts by the batch endpoint ("Batching requests", Gmail API), no
// more at a time than may run at once, for each part counts as a request of its
// own, in units and among those that run. A part that is refused goes with a
// later batch, once its time has come, and holds up no other. The answers are in
// the order of the parts. The error is that of a batch as a whole, which ends
// the call.
func (c *call) batch(ctx context.Context, parts []part) ([]answer, error) {
	answers := make([]answer, len(parts))
	queue := make([]queued, len(parts))
	for i := range queue {
		queue[i].part = i
	}
	for len(queue) > 0 {
		pending, rest, wait := c.choose(parts, queue)
		if len(pending) == 0 {
			if pace.Wait(ctx, wait) != nil {
				return answers, nil // the parts keep the refusals that they have
			}
			for i := range rest { // whatever the clock says, this time is over
				rest[i].from = rest[i].from.Add(-wait)
			}
			queue = rest
			continue
		}
		units, ids := 0, make([]int, len(pending))
		for i, q := range pending {
			units, ids[i] = units+c.conf.cost(parts[q.part].cost), q.part
		}
		err := c.retry(ctx, job{units: units, weight: len(ids), run: func(ctx context.Context) error {
			return c.send(ctx, parts, ids, answers)
		}})
		if err != nil {
			return nil, err
		}
		queue = append(c.refused(ctx, pending, answers), rest...)
	}
	return answers, nil
}

// queued is a part that waits to be sent, not before its time.
type queued struct {
	part, sent int
	from       time.Time
}

// choose takes the parts that go next, and says how long to wait where none may.
func (c *call) choose(parts []part, queue []queued) (pending, rest []queued, wait time.Duration) {
	quota, _ := c.conf.quota()
	units, now, wait := 0, c.p.now(), maxWait
	for _, q := range queue {
		cost := c.conf.cost(parts[q.part].cost)
		early := q.from.Sub(now)
		if early > 0 {
			wait = min(wait, early)
		}
		if early > 0 || len(pending) >= c.conf.batchSize || len(pending) > 0 && units+cost > quota/2 {
			rest = append(rest, q)
			continue
		}
		units += cost
		pending = append(pending, q)
	}
	return pending, rest, wait
}

// refused gives the parts that are to be sent again; the others have an answer
// that is worth keeping.
func (c *call) refused(ctx context.Context, sent []queued, answers []answer) (again []queued) {
	for _, q := range sent {
		q.sent++
		a := &answers[q.part]
		if a.err == nil {
			continue
		}
		var wait time.Duration
		if r := refusalOf(a.err, c.p.now()); r == nil {
			a.err = c.transportError(ctx, a.err, false)
			wait = pace.Backoff(q.sent)
		} else {
			merr := r.mailError(c.op, false)
			a.err = merr
			d, ok := r.again(false, q.sent)
			if !ok {
				continue
			}
			if wait = d; r.kind == mail.KindThrottled {
				c.hush(false, merr, d)
			}
		}
		if q.sent < batchRounds && wait <= maxWait {
			q.from = c.p.now().Add(wait)
			again = append(again, q)
		}
	}
	return again
}

// send sends the pending parts in one request and files their answers. A part
// that is refused for its token refuses the batch: all have the same one.
func (c *call) send(ctx context.Context, parts []part, pending []int, answers []answer) error {
	body, ctype, err := encodeBatch(parts, pending)
	if err != nil {
		return &mail.Error{Kind: mail.KindInternal, Op: c.op, Message: "encode batch", Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.conf.gmailURL+"batch/gmail/v1", bytes.NewReader(body))
	if err != nil {
		return &mail.Error{Kind: mail.KindInternal, Op: c.op, Message: "build request", Err: err}
	}
	req.Header.Set("Content-Type", ctype)
	resp, err := c.conf.apiHTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := googleapi.CheckResponse(resp); err != nil {
		return err
	}
	for _, i := range pending {
		answers[i] = answer{err: errNoAnswer}
	}
	if err := readBatch(resp, answers); err != nil {
		return err
	}
	for _, i := range pending {
		if statusOf(answers[i].err) == http.StatusUnauthorized {
			return answers[i].err
		}
	}
	return nil
}

var errNoAnswer = errors.New("a part of the batch has no answer")

func encodeBatch(parts []part, pending []int) (body []byte, ctype string, err error) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for _, i := range pending {
		pw, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Type": {"application/http"},
			"Content-Id":   {"<item-" + strconv.Itoa(i) + ">"},
		})
		if err != nil {
			return nil, "", err
		}
		target := "/gmail/v1/users/me/" + parts[i].path
		if q := parts[i].query.Encode(); q != "" {
			target += "?" + q
		}
		if _, err := fmt.Fprintf(pw, "GET %s HTTP/1.1\r\nAccept: application/json\r\n\r\n", target); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return buf.Bytes(), "multipart/mixed; boundary=" + w.Boundary(), nil
}

// readBatch files the answers, which come in any order.
func readBatch(resp *http.Response, answers []answer) error {
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" || params["boundary"] == "" {
		return &mail.Error{Kind: mail.KindUnavailable, Code: codeBadAnswer, Message: "Gmail's answer to a batch is none; perhaps something on the way answers instead"}
	}
	r := multipart.NewReader(resp.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		id := strings.Trim(p.Header.Get("Content-Id"), "<>")
		i, err := strconv.Atoi(strings.TrimPrefix(id, "response-item-"))
		if err != nil || i < 0 || i >= len(answers) {
			continue
		}
		answers[i] = readPart(p)
	}
}

func readPart(r io.Reader) answer {
	inner, err := http.ReadResponse(bufio.NewReader(r), nil)
	if err != nil {
		return answer{err: fmt.Errorf("part of a batch: %w", err)}
	}
	defer inner.Body.Close()
	if err := googleapi.CheckResponse(inner); err != nil {
		return answer{err: err}
	}
	body, err := io.ReadAll(inner.Body)
	return answer{body: body, err: err}
}
