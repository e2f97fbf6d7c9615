package providertest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Status is how a case ended.
type Status string

// Statuses.
const (
	Passed  Status = "pass"
	Failed  Status = "FAIL"
	Skipped Status = "skip"
)

// Result is how one case ended.
type Result struct {
	Name   string
	Status Status
	// Reason why it was skipped: the capability or hook that is missing.
	Reason string
	// Needs is the capability that is missing, where that is the reason.
	Needs provider.Capability
	// Read is Case.Read.
	Read bool
	// Log is what the case said, one entry a line.
	Log  []string
	Took time.Duration
}

// Report is how all cases ended. Run counts them all, also the skipped ones.
type Report struct {
	Results                      []Result
	Run, Passed, Failed, Skipped int
	// Err tells why nothing could be run.
	Err error
}

// OK reports whether the provider keeps the contract, as far as it was tested.
func (r Report) OK() bool { return r.Err == nil && r.Failed == 0 && r.Passed > 0 }

// LeastReads is how many read cases have to run before a provider counts as
// tested at all.
const LeastReads = 20

// Complete says why a report that is OK proves too little: a read case was
// skipped, or fewer than LeastReads ran. Which cases need which hook of the
// world stands in the report. It is for runs of the whole suite.
func (r Report) Complete() error {
	ran, skipped := 0, []string{}
	for _, res := range r.Results {
		switch {
		case !res.Read:
		case res.Status == Skipped:
			skipped = append(skipped, res.Name)
		default:
			ran++
		}
	}
	switch {
	case len(skipped) > 0:
		return fmt.Errorf("read cases were skipped: %s", strings.Join(skipped, ", "))
	case ran < LeastReads:
		return fmt.Errorf("%d read cases ran, at least %d must", ran, LeastReads)
	}
	return nil
}

// Runner runs the suite without testing, all cases on one provider: a plugin
// process has one session.
type Runner struct {
	// Match picks cases by name; all where it is nil.
	Match func(name string) bool
	// Patience as in Suite.
	Patience time.Duration
	// CaseLimit ends a case that hangs, 2 minutes where it is 0.
	CaseLimit time.Duration
	// Verbose prints the log of cases that passed, too.
	Verbose bool
}

// RunSuite runs all cases on a provider and prints one line for each, then the
// skipped ones with their reasons and the counts.
func RunSuite(ctx context.Context, p provider.Provider, w World, out io.Writer) Report {
	return Runner{}.Run(ctx, p, w, out)
}

// Run runs the cases that Match picks.
func (r Runner) Run(ctx context.Context, p provider.Provider, w World, out io.Writer) Report {
	if r.CaseLimit <= 0 {
		r.CaseLimit = 2 * time.Minute
	}
	pr := &printer{out: out}
	e, err := start(ctx, p, w, r.Patience)
	if err != nil {
		pr.printf("the provider could not be started: %v\n", err)
		return Report{Err: err}
	}
	defer e.close()
	var report Report
	for _, c := range cases() {
		if r.Match != nil && !r.Match(c.Name) {
			continue
		}
		if ctx.Err() != nil {
			report.Err = ctx.Err()
			break
		}
		res := r.one(ctx, c, e)
		report.add(res)
		pr.result(res, r.Verbose)
	}
	pr.summary(&report)
	if report.Err == nil {
		report.Err = pr.err
	}
	return report
}

func (r *Report) add(res Result) {
	r.Results = append(r.Results, res)
	r.Run++
	switch res.Status {
	case Passed:
		r.Passed++
	case Failed:
		r.Failed++
	case Skipped:
		r.Skipped++
	}
}

// one runs a case in a goroutine of its own, which Fatalf and Skipf can end.
// One that does not end within its limit is left behind and has failed.
func (r Runner) one(ctx context.Context, c Case, e *env) Result {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.CaseLimit)
	defer cancel()
	t := &run{name: c.Name, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.do(func(t T) { c.run(t, e) })
	}()
	select {
	case <-done:
	case <-ctx.Done():
		grace := time.NewTimer(e.patience)
		defer grace.Stop()
		select {
		case <-done:
		case <-grace.C:
			t.Errorf("the case did not end within %v", r.CaseLimit)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	res := Result{Name: c.Name, Status: Passed, Read: c.Read, Log: slices.Clone(t.log), Took: time.Since(began)}
	switch {
	case t.failed:
		res.Status = Failed
	case t.skipped:
		res.Status, res.Reason, res.Needs = Skipped, t.reason, c.missing(e.info)
	}
	return res
}

// run is a T without testing.
type run struct {
	name string
	ctx  context.Context

	mu              sync.Mutex
	log             []string
	cleanups        []func()
	failed, skipped bool
	reason          string
}

// do runs the body and then what was left to Cleanup, last first.
func (t *run) do(body func(T)) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer t.catch()
		body(t)
	}()
	<-ended
	for {
		t.mu.Lock()
		n := len(t.cleanups)
		if n == 0 {
			t.mu.Unlock()
			return
		}
		last := t.cleanups[n-1]
		t.cleanups = t.cleanups[:n-1]
		t.mu.Unlock()
		func() {
			defer t.catch()
			last()
		}()
	}
}

// catch turns a panic into a failure, so that the other cases still run.
func (t *run) catch() {
	if v := recover(); v != nil {
		t.Errorf("panic: %v\n%s", v, debug.Stack())
	}
}

func (t *run) Name() string             { return t.name }
func (t *run) Context() context.Context { return t.ctx }
func (t *run) Helper()                  {}

func (t *run) Logf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log = append(t.log, fmt.Sprintf(format, args...))
}

func (t *run) Errorf(format string, args ...any) {
	t.Logf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
}

func (t *run) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

func (t *run) Skipf(format string, args ...any) {
	t.mu.Lock()
	t.skipped, t.reason = true, fmt.Sprintf(format, args...)
	t.mu.Unlock()
	runtime.Goexit()
}

func (t *run) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

func (t *run) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

func (t *run) Run(name string, part func(T)) bool {
	sub := &run{name: t.name + "/" + name, ctx: t.ctx}
	sub.do(part)
	for _, line := range sub.log {
		t.Logf("%s: %s", name, line)
	}
	if sub.failed {
		t.mu.Lock()
		t.failed = true
		t.mu.Unlock()
	}
	return !sub.failed
}

// printer writes the report and keeps the first error of doing so.
type printer struct {
	out io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format, args...)
	}
}

func (p *printer) result(r Result, verbose bool) {
	note := fmt.Sprintf("(%v)", r.Took.Round(time.Millisecond))
	if r.Status == Skipped {
		note = r.Reason
	}
	p.printf("%s  %-30s %s\n", r.Status, r.Name, note)
	if r.Status == Failed || verbose {
		for _, line := range r.Log {
			p.printf("      %s\n", strings.ReplaceAll(line, "\n", "\n      "))
		}
	}
}

func (p *printer) summary(r *Report) {
	reasons := map[string][]string{}
	capability, reads, readsRan := 0, 0, 0
	for _, res := range r.Results {
		if res.Status == Skipped {
			reasons[res.Reason] = append(reasons[res.Reason], res.Name)
		}
		if res.Needs != "" {
			capability++
		}
		if res.Read {
			if reads++; res.Status != Skipped {
				readsRan++
			}
		}
	}
	p.printf("\n%d cases: %d run, %d passed, %d failed, %d skipped by missing capability, %d skipped else; %d of %d read cases run\n",
		r.Run, r.Passed+r.Failed, r.Passed, r.Failed, capability, r.Skipped-capability, readsRan, reads)
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		p.printf("  skipped, %s: %s\n", reason, strings.Join(reasons[reason], ", "))
	}
}
