package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/smtp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/internal/event"
)

var soakAddresses = []string{ada, grace, alan}

// load is the work of a run: what is done stands fixed by the seed; on which of
// the messages there are, by the seed and by when they came.
type load struct {
	s    *soak
	ops  []func(context.Context, *rand.Rand) error
	next atomic.Int64 // the operation that a worker takes next
	// gate lets the load go on to so many operations: it must not be over before
	// the last kill.
	gate *gate
	n    atomic.Int64 // numbers subjects
}

// gate holds workers back until they may go on.
type gate struct {
	mu    sync.Mutex
	upTo  int64
	moved chan struct{}
}

func newGate(upTo int64) *gate { return &gate{upTo: upTo, moved: make(chan struct{})} }

func (g *gate) open(upTo int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if upTo <= g.upTo {
		return
	}
	g.upTo = upTo
	close(g.moved)
	g.moved = make(chan struct{})
}

func (g *gate) pass(ctx context.Context, n int64) error {
	for {
		g.mu.Lock()
		ok, moved := n < g.upTo, g.moved
		g.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func newLoad(s *soak) *load {
	l := &load{s: s}
	add := func(n int, op func(context.Context, *rand.Rand) error) {
		for range n {
			l.ops = append(l.ops, op)
		}
	}
	p := s.plan
	add(p.deliveries/2, s.deliver)
	add(p.deliveries-p.deliveries/2, s.deliverBySMTP)
	add(p.edits/2, s.editAtProvider)
	add(p.edits-p.edits/2, s.editHere)
	add(p.large, func(ctx context.Context, rng *rand.Rand) error { return s.send(ctx, rng, 5<<20) })
	add(p.forgets, s.forget)
	replies := (p.submissions - p.large) / 3
	add(replies, s.reply)
	add(p.submissions-p.large-replies, func(ctx context.Context, rng *rand.Rand) error { return s.send(ctx, rng, 0) })
	add(p.mails, s.submitByMail)
	rng := rand.New(rand.NewPCG(p.seed, 1))
	rng.Shuffle(len(l.ops), func(i, j int) { l.ops[i], l.ops[j] = l.ops[j], l.ops[i] })
	l.gate = newGate(int64(len(l.ops)))
	return l
}

// run does all of it.
func (l *load) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for range l.s.plan.workers {
		group.Go(func() {
			for {
				i := l.next.Add(1) - 1
				if i >= int64(len(l.ops)) || l.gate.pass(ctx, i) != nil {
					return
				}
				if err := l.ops[i](ctx, rand.New(rand.NewPCG(l.s.plan.seed, uint64(i)+100))); err != nil {
					cancel(fmt.Errorf("operation %d: %w", i, err))
					return
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// subject makes up a subject that nothing else has.
func (s *soak) subject(what string) string {
	return fmt.Sprintf("%s %d-%d", what, s.plan.seed%10000, s.load.n.Add(1))
}

func (s *soak) deliver(ctx context.Context, rng *rand.Rand) error {
	return s.deliverTo(ctx, rng, soakAddresses[rng.IntN(len(soakAddresses))])
}

// deliverTo puts a message into a mailbox; what is delivered so can be changed
// later, since its id is known.
func (s *soak) deliverTo(ctx context.Context, _ *rand.Rand, to string) error {
	if s.load == nil {
		s.load = newLoad(s)
	}
	subject := s.subject("delivered")
	s.hist.expect(to, subject)
	var got struct{ ID string }
	if err := s.controlTry(ctx, "POST", "/control/users/"+to+"/messages", letter(to, subject), &got); err != nil {
		return err
	}
	s.hist.delivered(to, got.ID, subject)
	return nil
}

// deliverBySMTP brings a message as any mail server would.
func (s *soak) deliverBySMTP(_ context.Context, rng *rand.Rand) error {
	to := soakAddresses[rng.IntN(len(soakAddresses))]
	subject := s.subject("by SMTP")
	s.hist.expect(to, subject)
	c, err := smtp.Dial(s.info.Sandbox.SMTP)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.Mail("eve@fabrikam.example"), c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = w.Write([]byte(letter(to, subject)))
	return errors.Join(err, w.Close(), c.Quit())
}

// editAtProvider changes a message as another of the owner's programs would.
func (s *soak) editAtProvider(ctx context.Context, rng *rand.Rand) error {
	address, ids := s.hist.pick(rng, 1)
	if len(ids) == 0 {
		return s.deliver(ctx, rng)
	}
	e := newEdit(rng)
	holds := s.at(address).kinds.holds
	e.add, e.remove = slices.DeleteFunc(e.add, func(k string) bool { return !holds(k) }), slices.DeleteFunc(e.remove, func(k string) bool { return !holds(k) })
	s.hist.trying(address, ids, e)
	path := "/control/users/" + address + "/messages/" + ids[0]
	var err error
	if e.delete {
		err = s.controlTry(ctx, "DELETE", path, "", nil)
	} else {
		body, _ := json.Marshal(map[string]any{"add_keywords": e.add, "remove_keywords": e.remove, "mailbox": e.to}) // strings only
		err = s.controlTry(ctx, "PATCH", path, string(body), nil)
	}
	if status := (*statusError)(nil); errors.As(err, &status) && status.status == http.StatusNotFound {
		return nil // somebody else has deleted it
	}
	return err
}

// forget makes the cursors of a mailbox too old: everything must be compared.
func (s *soak) forget(ctx context.Context, rng *rand.Rand) error {
	return s.controlTry(ctx, "POST", "/control/users/"+soakAddresses[rng.IntN(len(soakAddresses))]+"/forget-cursors", "", nil)
}

// roles are the mailboxes that changes go to, by the names that the providers
// have for them. Where there is no archive, what is archived is in all mail.
var roles = map[string][]string{"inbox": {"INBOX"}, "archive": {"ARCHIVE", "ALL"}, "deleteditems": {"TRASH"}, "junkemail": {"JUNK"}}

// editHere changes messages through GraphQL. Any result may come, for the
// provider is ill; what counts is what is there in the end.
func (s *soak) editHere(ctx context.Context, rng *rand.Rand) error {
	return s.editHereOf(ctx, rng, soakAddresses[rng.IntN(len(soakAddresses))])
}

func (s *soak) editHereOf(ctx context.Context, rng *rand.Rand, address string) error {
	ids := s.hist.pickOf(rng, address, 1+rng.IntN(6))
	if len(ids) == 0 {
		return s.deliverTo(ctx, rng, address)
	}
	e := newEdit(rng)
	if e.delete {
		ids = ids[:1]
	}
	s.hist.trying(address, ids, e)
	account := s.account(address)
	vars := map[string]any{}
	var own []string
	for _, id := range ids {
		own = append(own, event.HashID("m", account, id))
	}
	vars["ids"] = own
	var query string
	switch {
	case e.delete:
		query = `mutation($ids: [ID!]!) { deleteMessages(ids: $ids, permanently: true) { results { error { code message } } } }`
	case e.to != "":
		box, err := s.box(ctx, account, roles[e.to])
		if err != nil || box == "" {
			return err
		}
		vars["to"] = box
		query = `mutation($ids: [ID!]!, $to: ID!) { moveMessages(ids: $ids, to: $to) { results { error { code message } } } }`
	default:
		vars["add"], vars["remove"] = e.add, e.remove
		query = `mutation($ids: [ID!]!, $add: [String!], $remove: [String!]) { updateMessages(ids: $ids, addKeywords: $add, removeKeywords: $remove) { results { error { code message } } } }`
	}
	// Not gql: what was cut off may have been done, and is not asked for twice.
	within, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var got map[string]struct {
		Results []struct {
			Error *struct{ Code, Message string }
		}
	}
	errs, err := s.ask(within, query, vars, &got)
	if err != nil {
		return ctx.Err() // the gateway was killed
	}
	for _, e := range errs {
		s.checkCode(e.Extensions.Code, e.Message)
	}
	for _, payload := range got {
		for _, r := range payload.Results {
			if r.Error != nil {
				s.checkCode(r.Error.Code, r.Error.Message)
			}
		}
	}
	return nil
}

// checkCode refuses errors that no fault of the provider's explains.
func (s *soak) checkCode(code, message string) {
	switch code {
	case "NOT_FOUND", "THROTTLED", "UNAVAILABLE", "OUTCOME_UNKNOWN", "CONFLICT":
	default:
		s.t.Errorf("a change was answered by %s: %s", code, message)
	}
}

// box is the mailbox of a role, empty while the gateway knows none.
func (s *soak) box(ctx context.Context, account string, roles []string) (string, error) {
	var got struct {
		Account struct{ Mailboxes []struct{ ID, Role string } }
	}
	if _, err := s.gql(ctx, `query($id: ID!) { account(id: $id) { mailboxes { id role } } }`, map[string]any{"id": account}, &got); err != nil {
		return "", err
	}
	for _, m := range got.Account.Mailboxes {
		if slices.Contains(roles, m.Role) {
			return m.ID, nil
		}
	}
	return "", nil
}

// other gives another address.
func other(rng *rand.Rand, from string) string {
	i := slices.Index(soakAddresses, from)
	return soakAddresses[(i+1+rng.IntN(len(soakAddresses)-1))%len(soakAddresses)]
}

// send submits a new message, with an attachment where size is not 0.
func (s *soak) send(ctx context.Context, rng *rand.Rand, size int) error {
	return s.sendFrom(ctx, rng, soakAddresses[rng.IntN(len(soakAddresses))], size)
}

func (s *soak) sendFrom(ctx context.Context, rng *rand.Rand, from string, size int) error {
	to := other(rng, from)
	in := map[string]any{"text": "Hello", "html": "<p>Hello</p>"}
	if size > 0 {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		in["attachments"] = []map[string]any{{"name": "large.bin", "content": base64.StdEncoding.EncodeToString(data)}}
	}
	return s.submit(ctx, from, to, in)
}

// reply answers a message that was delivered, towards another account.
func (s *soak) reply(ctx context.Context, rng *rand.Rand) error {
	from, ids := s.hist.pick(rng, 1)
	if len(ids) == 0 {
		return s.send(ctx, rng, 0)
	}
	id := event.HashID("m", s.account(from), ids[0])
	var got struct{ Message *struct{ ID string } }
	if _, err := s.gql(ctx, `query($id: ID!) { message(id: $id) { id } }`, map[string]any{"id": id}, &got); err != nil {
		return err
	}
	if got.Message == nil { // not seen yet, or gone
		return s.send(ctx, rng, 0)
	}
	s.hist.answering(from, ids[0])
	return s.submit(ctx, from, other(rng, from), map[string]any{"reply": id, "text": "Yes"})
}

// submit hands a message in until it is accepted: the same key, the same
// submission.
func (s *soak) submit(ctx context.Context, from, to string, in map[string]any) error {
	subject := s.subject("sent")
	sub := s.hist.submitting(from, to, subject)
	in["account"], in["to"], in["subject"], in["idempotencyKey"] = s.account(from), []string{to}, subject, subject
	for {
		var got struct{ SubmitMessage *struct{ ID string } }
		errs, err := s.gql(ctx, `mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id } }`, map[string]any{"in": in}, &got)
		switch {
		case err != nil:
			return err
		case len(errs) == 0 && got.SubmitMessage != nil:
			s.hist.accepted(sub, got.SubmitMessage.ID)
			return nil
		case len(errs) > 0 && errs[0].Extensions.Code == "NOT_FOUND" && in["reply"] != nil:
			delete(in, "reply") // it was deleted meanwhile
		case len(errs) > 0 && strings.Contains("UNAVAILABLE THROTTLED CONFLICT", errs[0].Extensions.Code):
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		default:
			return fmt.Errorf("submit %q: %v", subject, errs)
		}
	}
}
