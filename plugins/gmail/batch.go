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

// batchRounds is how often the parts that were refused are sent again.
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
// own, in units and among those that run. The answers are in the order of the
// parts. The error is that of a batch as a whole, which ends the call.
func (c *call) batch(ctx context.Context, parts []part) ([]answer, error) {
	answers := make([]answer, len(parts))
	quota, _ := c.conf.quota()
	for start := 0; start < len(parts); {
		end, units := start, 0
		for end < len(parts) && end-start < c.conf.batchSize {
			cost := c.conf.cost(parts[end].cost)
			if end > start && units+cost > quota/2 {
				break
			}
			units += cost
			end++
		}
		if err := c.settle(ctx, parts[start:end], answers[start:end]); err != nil {
			return nil, err
		}
		start = end
	}
	return answers, nil
}

// settle sends parts until each has an answer that is worth keeping.
func (c *call) settle(ctx context.Context, parts []part, answers []answer) error {
	pending := make([]int, len(parts))
	for i := range pending {
		pending[i] = i
	}
	for round := 1; ; round++ {
		units := 0
		for _, i := range pending {
			units += c.conf.cost(parts[i].cost)
		}
		err := c.retry(ctx, job{units: units, weight: len(pending), run: func(ctx context.Context) error {
			return c.send(ctx, parts, pending, answers)
		}})
		if err != nil {
			return err
		}
		var again []int
		var wait time.Duration // as long as Gmail says, where it does
		for _, i := range pending {
			if answers[i].err == nil {
				continue
			}
			r := refusalOf(answers[i].err, c.p.now())
			if r == nil {
				answers[i].err = c.transportError(ctx, answers[i].err, false)
				again, wait = append(again, i), max(wait, pace.Backoff(round))
				continue
			}
			merr := r.mailError(c.op, false)
			answers[i].err = merr
			if d, ok := r.again(false, round); ok {
				again, wait = append(again, i), max(wait, d)
				if r.kind == mail.KindThrottled {
					c.hush(false, merr, d)
				}
			}
		}
		if len(again) == 0 || round >= batchRounds || wait > maxWait {
			return nil
		}
		if pace.Wait(ctx, wait) != nil {
			return nil // the parts keep the refusals that they have
		}
		pending = again
	}
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
