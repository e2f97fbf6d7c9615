package providertest

import "context"

// T is what a case needs of whoever runs it: of testing by Adapt, of the
// Runner without it. Fatalf and Skipf end the case; they, unlike the others,
// must be called from the goroutine that runs it.
type T interface {
	Name() string
	// Context ends when the case does, before the functions of Cleanup run.
	Context() context.Context
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Helper()
	Failed() bool
	Cleanup(func())
	// Run runs a part and reports whether it passed.
	Run(name string, part func(T)) bool
}

// TestingT is what *testing.T is, in words that need no import of testing:
// *testing.T satisfies TestingT[*testing.T].
type TestingT[S any] interface {
	Name() string
	Context() context.Context
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Helper()
	Failed() bool
	Cleanup(func())
	Run(name string, part func(S)) bool
}

// Adapt makes a T of a *testing.T.
func Adapt[S TestingT[S]](t S) T { return adapter[S]{t} }

type adapter[S TestingT[S]] struct{ t S }

func (a adapter[S]) Name() string              { return a.t.Name() }
func (a adapter[S]) Context() context.Context  { return a.t.Context() }
func (a adapter[S]) Logf(f string, v ...any)   { a.t.Helper(); a.t.Logf(f, v...) }
func (a adapter[S]) Errorf(f string, v ...any) { a.t.Helper(); a.t.Errorf(f, v...) }
func (a adapter[S]) Fatalf(f string, v ...any) { a.t.Helper(); a.t.Fatalf(f, v...) }
func (a adapter[S]) Skipf(f string, v ...any)  { a.t.Helper(); a.t.Skipf(f, v...) }
func (a adapter[S]) Helper()                   { a.t.Helper() }
func (a adapter[S]) Failed() bool              { return a.t.Failed() }
func (a adapter[S]) Cleanup(f func())          { a.t.Cleanup(f) }

func (a adapter[S]) Run(name string, part func(T)) bool {
	return a.t.Run(name, func(s S) { part(adapter[S]{s}) })
}
