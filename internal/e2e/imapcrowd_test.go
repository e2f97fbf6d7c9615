package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postern-mail/postern/internal/sandbox"
)

// TestCrowd: twenty mail programs work on one account at random, while the
// provider's side changes it too. Each knows only what untagged responses have
// told it. In the end all of them see the same, which is what the mirror holds:
// by UID, flags and bytes.
func TestCrowd(t *testing.T) {
	t.Parallel()
	const programs, operations, outside = 20, 200, 500
	for _, address := range []string{ada, alanAtGmail} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			s := newSceneWith(t, raced(t), unmetered)
			account := s.join(address)
			for i := range 100 {
				s.deliver(address, fmt.Sprintf("before %d", i))
			}
			s.inStep(address)
			s.query(`mutation($a: ID!) { createMailbox(input: {account: $a, name: "Aside"}) { id } }`, map[string]any{"a": account}, nil)
			c := &crowd{scene: s, address: address, account: account, password: s.appPassword(account), counts: map[string]*[2]atomic.Int64{}}
			for _, op := range crowdOps() {
				c.counts[op.name] = &[2]atomic.Int64{}
			}
			c.run(programs, operations, outside)
		})
	}
}

var buildRaced = sync.OnceValues(func() (string, error) {
	name := filepath.Join(bin, "postern-raced")
	cmd := exec.Command("go", "build", "-race", "-ldflags=-s -w", "-o", name, "./cmd/postern")
	cmd.Dir = root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build with the race detector: %w\n%s", err, out)
	}
	return name, nil
})

// raced gives a gateway with the race detector, where the tests have it, or where
// whoever runs them wants it of the gateway alone.
func raced(t *testing.T) string {
	t.Helper()
	if !raceEnabled && os.Getenv("POSTERN_TEST_RACED") == "" {
		return ""
	}
	name, err := buildRaced()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// unmetered lifts quotas, which would slow a test and prove nothing here.
func unmetered(o *sandbox.Options, cfg settings) {
	q := &o.GoogleSettings.Mail.Quota
	q.UserUnits, q.ProjectUnits, q.DailyUnits = -1, -1, -1
	cfg.section("providers", "gmail", "settings")["quota_units"] = "10000000"
}

type crowd struct {
	*scene
	address, account, password string
	// counts are how often each operation succeeded, and was refused.
	counts map[string]*[2]atomic.Int64
}

// crowdOp is something that a mail program does. Its answer may be NO: others
// are at work on the same messages.
type crowdOp struct {
	name   string
	weight int
	do     func(rng *rand.Rand, p *mailProgram) (string, error)
}

func crowdOps() []crowdOp {
	one := func(rng *rand.Rand, p *mailProgram) int { return 1 + rng.IntN(len(p.view)) }
	// ranged picks a few neighbours by their UIDs.
	ranged := func(rng *rand.Rand, p *mailProgram) string {
		from := rng.IntN(len(p.view))
		to := min(from+rng.IntN(4), len(p.view)-1)
		return fmt.Sprintf("%d:%d", max(p.view[from].uid, 1), max(p.view[to].uid, 1))
	}
	flag := func(rng *rand.Rand) string {
		return []string{`\Seen`, `\Flagged`, `\Answered`, "$Forwarded", "urgent"}[rng.IntN(5)]
	}
	sign := func(rng *rand.Rand) string { return []string{"+", "-"}[rng.IntN(2)] }
	return []crowdOp{
		{"noop", 10, func(_ *rand.Rand, p *mailProgram) (string, error) { return p.do("NOOP", nil) }},
		{"idle", 10, func(_ *rand.Rand, p *mailProgram) (string, error) { return p.do("IDLE", nil) }},
		{"fetch", 10, func(rng *rand.Rand, p *mailProgram) (string, error) {
			return p.do(fmt.Sprintf("FETCH %d:* (UID FLAGS)", one(rng, p)), nil)
		}},
		{"body", 10, func(rng *rand.Rand, p *mailProgram) (string, error) {
			return p.do(fmt.Sprintf("FETCH %d (UID BODY.PEEK[])", one(rng, p)), nil)
		}},
		{"search", 5, func(rng *rand.Rand, p *mailProgram) (string, error) {
			return p.do("UID SEARCH OR FLAGGED NOT SEEN", nil)
		}},
		{"store", 20, func(rng *rand.Rand, p *mailProgram) (string, error) {
			return p.do(fmt.Sprintf("STORE %d %sFLAGS (%s)", one(rng, p), sign(rng), flag(rng)), nil)
		}},
		{"uid store", 10, func(rng *rand.Rand, p *mailProgram) (string, error) {
			return p.do(fmt.Sprintf("UID STORE %s %sFLAGS (%s)", ranged(rng, p), sign(rng), flag(rng)), nil)
		}},
		{"delete", 5, func(rng *rand.Rand, p *mailProgram) (string, error) {
			return p.do(fmt.Sprintf(`STORE %d +FLAGS (\Deleted)`, one(rng, p)), nil)
		}},
		{"expunge", 2, func(_ *rand.Rand, p *mailProgram) (string, error) { return p.do("EXPUNGE", nil) }},
		{"copy", 3, func(rng *rand.Rand, p *mailProgram) (string, error) {
			return p.do(fmt.Sprintf("COPY %d Aside", one(rng, p)), nil)
		}},
		{"move", 3, func(rng *rand.Rand, p *mailProgram) (string, error) {
			return p.do(fmt.Sprintf("UID MOVE %s Aside", ranged(rng, p)), nil)
		}},
		{"append", 5, func(rng *rand.Rand, p *mailProgram) (string, error) {
			return p.do(`APPEND INBOX (\Seen)`, []byte(letter("somebody@example.org", fmt.Sprintf("appended %d", rng.Uint32()))))
		}},
	}
}

func (c *crowd) run(programs, operations, outside int) {
	seed := rand.Uint64()
	c.t.Logf("seed %d", seed)
	crowd := make([]*mailProgram, programs)
	for i := range crowd {
		p, err := dialMail(c.imapDoor(), c.address, c.password)
		if err == nil {
			err = p.open("INBOX")
		}
		if err != nil {
			c.t.Fatal(err)
		}
		defer p.close()
		crowd[i] = p
	}
	errs := make([]error, programs+1)
	var wg sync.WaitGroup
	for i, p := range crowd {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			if errs[i] = c.work(rng, p, operations); errs[i] != nil {
				errs[i] = fmt.Errorf("program %d: %w", i, errs[i])
			}
		})
	}
	wg.Go(func() { errs[programs] = c.outside(rand.New(rand.NewPCG(seed, 1<<32)), outside) })
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			c.t.Fatal(err)
		}
	}
	for _, op := range crowdOps() {
		n := c.counts[op.name]
		c.t.Logf("%-10s %5d ok, %4d no", op.name, n[0].Load(), n[1].Load())
		if n[0].Load() == 0 {
			c.t.Errorf("%s never succeeded", op.name)
		}
	}
	// They may have deleted and moved away all there was.
	for i := range 5 {
		c.deliver(c.address, fmt.Sprintf("after all %d", i))
	}
	c.agree(crowd)
	if log := c.scene.run.lines.String(); strings.Contains(log, "DATA RACE") {
		c.t.Errorf("the gateway has a race:\n%s", log[strings.Index(log, "DATA RACE"):])
	}
}

// work does operations at random.
func (c *crowd) work(rng *rand.Rand, p *mailProgram, operations int) error {
	ops, total := crowdOps(), 0
	for _, op := range ops {
		total += op.weight
	}
	for range operations {
		pick := rng.IntN(total)
		i := 0
		for ; pick >= ops[i].weight; i++ {
			pick -= ops[i].weight
		}
		if len(p.view) == 0 {
			i = 0
		}
		answer, err := ops[i].do(rng, p)
		if err != nil {
			return fmt.Errorf("%s: %w", ops[i].name, err)
		}
		switch {
		case strings.HasPrefix(answer, "OK"):
			c.counts[ops[i].name][0].Add(1)
		case strings.HasPrefix(answer, "NO") && !strings.Contains(answer, "SERVERBUG"):
			c.counts[ops[i].name][1].Add(1)
		default:
			return fmt.Errorf("%s: %s", ops[i].name, answer)
		}
	}
	return nil
}

// outside changes the account at its provider.
func (c *crowd) outside(rng *rand.Rand, n int) error {
	type item struct {
		ID        string
		Mailboxes []string
	}
	var known []item
	for i := range n {
		ctx := c.ctx()
		if i%50 == 0 {
			if err := c.controlTry(ctx, http.MethodGet, "/control/users/"+c.address+"/messages", "", &known); err != nil {
				return err
			}
		}
		path := "/control/users/" + c.address + "/messages"
		var err error
		switch k := rng.IntN(10); {
		case k < 5 || len(known) == 0:
			err = c.controlTry(ctx, http.MethodPost, path, letter(c.address, fmt.Sprintf("outside %d", i)), nil)
		case k < 8:
			id := known[rng.IntN(len(known))].ID
			err = c.controlTry(ctx, http.MethodPatch, path+"/"+id, []string{`{"add_keywords": ["$seen"]}`, `{"remove_keywords": ["$seen"]}`, `{"add_keywords": ["$flagged"]}`}[rng.IntN(3)], nil)
		case k < 9:
			err = c.controlTry(ctx, http.MethodPatch, path+"/"+known[rng.IntN(len(known))].ID, `{"mailbox": "inbox"}`, nil)
		default:
			err = c.controlTry(ctx, http.MethodDelete, path+"/"+known[rng.IntN(len(known))].ID, "", nil)
		}
		if status := (*statusError)(nil); err != nil && (!errors.As(err, &status) || status.status != http.StatusNotFound) {
			return err
		}
	}
	return nil
}

// agree compares every view with a fresh one, and that with the mirror.
func (c *crowd) agree(crowd []*mailProgram) {
	fresh, err := dialMail(c.imapDoor(), c.address, c.password)
	if err != nil {
		c.t.Fatal(err)
	}
	defer fresh.close()
	c.query(`mutation($a: ID!) { syncAccount(id: $a) { id } }`, map[string]any{"a": c.account}, nil)
	c.eventually("the mirror holds what the provider holds", func() bool {
		truth, mirror := c.truth(c.address), c.mirror(c.address)
		for id, p := range truth {
			if q, ok := mirror[id]; !ok || !slices.Equal(p.Mailboxes, q.Mailboxes) {
				c.lastDiff = fmt.Sprintf("%s: %v, mirror %v", id, p, q)
				return false
			}
		}
		return len(truth) == len(mirror)
	})
	if err := fresh.open("INBOX"); err != nil {
		c.t.Fatal(err)
	}
	if err := fresh.complete(true); err != nil {
		c.t.Fatal(err)
	}
	want := fmt.Sprint(fresh.view)
	if len(fresh.view) == 0 {
		c.t.Fatal("nothing is left in the inbox")
	}
	for i, p := range crowd {
		if err := p.must("NOOP"); err != nil {
			c.t.Fatalf("program %d: %v", i, err)
		}
		if err := p.complete(true); err != nil {
			c.t.Fatalf("program %d: %v", i, err)
		}
		if got := fmt.Sprint(p.view); got != want {
			c.t.Errorf("program %d sees\n%s\nthe mirror holds\n%s", i, got, want)
		}
	}
	var got []string
	for _, v := range fresh.view {
		got = append(got, v.digest)
	}
	slices.Sort(got)
	if want := c.inboxDigests(c.address); !slices.Equal(got, want) {
		c.t.Errorf("%d messages over IMAP, the provider's inbox has %d, or other bytes", len(got), len(want))
	}
}
