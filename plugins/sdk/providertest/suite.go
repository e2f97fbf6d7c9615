package providertest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Suite is a provider under test, with its world. New is called for every
// case; what it makes is its own to clean up (T.Cleanup).
type Suite struct {
	New func(t T) (provider.Provider, World)
	// Patience is how long to wait for what should happen soon:
	// DefaultPatience where it is 0.
	Patience time.Duration
	// Inapplicable names the cases that are known to be skipped, because the
	// provider has no such capability or the world no such hook. They pass with
	// the reason in their log, so that a skip is news; one that could run after
	// all fails.
	Inapplicable []string
}

// Run holds a provider to the contract, one subtest for each case.
func Run[S TestingT[S]](t S, s Suite) { s.Run(Adapt(t)) }

// Run is the function Run for any T.
func (s Suite) Run(t T) {
	for _, c := range cases() {
		t.Run(c.Name, func(t T) {
			p, w := s.New(t)
			e, err := start(t.Context(), p, w, s.Patience)
			if err != nil {
				t.Fatalf("start: %v", err)
			}
			t.Cleanup(e.close)
			if slices.Contains(s.Inapplicable, c.Name) {
				c.inapplicable(t, e)
				return
			}
			c.run(t, e)
		})
	}
}

// inapplicable runs a case that should be skipped, on a T that can tell.
func (c Case) inapplicable(t T, e *env) {
	t.Helper()
	aside := &run{name: t.Name(), ctx: t.Context()}
	aside.do(func(t T) { c.run(t, e) })
	switch {
	case aside.failed:
		t.Fatalf("%s", strings.Join(aside.log, "\n"))
	case !aside.skipped:
		t.Fatalf("the case applies: take it off Suite.Inapplicable")
	}
	t.Logf("inapplicable: %s", aside.reason)
}

// Across is the same suite with the provider seen through a wire:
//
//	providertest.Run(t, suite.Across(provider.Pipe))
func (s Suite) Across(wire func(provider.Provider) (provider.Provider, io.Closer, error)) Suite {
	direct := s.New
	s.New = func(t T) (provider.Provider, World) {
		near, w := direct(t)
		far, closer, err := wire(near)
		if err != nil {
			t.Fatalf("wire: %v", err)
		}
		t.Cleanup(func() {
			if err := closer.Close(); err != nil {
				t.Errorf("close wire: %v", err)
			}
		})
		return far, w
	}
	return s
}

// Case is one promise of the contract, and how it is tested.
type Case struct {
	// Name is stable: "changes/removal".
	Name string
	// Doc is the promise in a sentence.
	Doc string
	// Needs are the capabilities without which the case is skipped.
	Needs []provider.Capability
	// Read marks what every provider has to keep, also one that only reads: a
	// case that needs no capability, and of the world no more than to deliver,
	// move and remove a message and to tell the truth. It is never skipped.
	Read bool

	test func(*fixture)
}

// Cases lists all cases in the order in which they run.
func Cases() []Case { return cases() }

func (c Case) run(t T, e *env) {
	if need := c.missing(e.info); need != "" {
		t.Skipf("needs capability %s", need)
	}
	f := &fixture{T: t, env: e, ctx: t.Context()}
	c.test(f)
}

// missing is a capability that the case needs and the provider has not.
func (c Case) missing(info *provider.Info) provider.Capability {
	for _, need := range c.Needs {
		if !info.Has(need) {
			return need
		}
	}
	return ""
}

func cases() []Case {
	var all []Case
	for _, group := range [][]Case{
		describeCases(), checkCases(), connectCases(), approvalCases(), accountCases(), mailboxCases(), enumerateCases(),
		changesCases(), fetchCases(), modifyCases(), appendCases(), sendCases(), identityCases(), searchCases(),
		watchCases(), errorCases(), cancelCases(), concurrencyCases(), grantCases(), faultCases(),
		sessionCases(),
	} {
		all = append(all, group...)
	}
	return all
}

func needs(c ...provider.Capability) []provider.Capability { return c }

// String is the case's line in a list.
func (c Case) String() string { return fmt.Sprintf("%-28s %s", c.Name, c.Doc) }
