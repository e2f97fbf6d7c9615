package pluginhost

import (
	"io"
	"strings"
	"sync"
	"time"
)

const (
	// lastWordsSize is how much of a plugin's standard error is kept.
	lastWordsSize = 4 << 10
	// lastWordsShown is how much of its last line an error shows.
	lastWordsShown = 300
	// lastWordsWait is how long the end of the output is waited for: a plugin
	// that fails closes its standard output first, and may write on.
	lastWordsWait = 500 * time.Millisecond
)

// lastWords passes a plugin's standard error on and keeps its end, which says
// why a plugin failed before there was a connection to say it by.
type lastWords struct {
	io.ReadCloser
	ended chan struct{} // closed once there is no more

	mu   sync.Mutex
	tail []byte
	over bool
}

func newLastWords(r io.ReadCloser) *lastWords {
	return &lastWords{ReadCloser: r, ended: make(chan struct{})}
}

func (l *lastWords) Read(b []byte) (int, error) {
	n, err := l.ReadCloser.Read(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, b[:n]...)
	l.tail = l.tail[max(0, len(l.tail)-lastWordsSize):]
	if err != nil && !l.over {
		l.over = true
		close(l.ended)
	}
	return n, err
}

// line is the last line that is not empty, once the output has ended or has
// been waited for long enough. A stack trace's last line is the one that says
// what happened.
func (l *lastWords) line() string {
	select {
	case <-l.ended:
	case <-time.After(lastWordsWait):
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(l.tail), ""))
	line := strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
	if len(line) > lastWordsShown {
		line = strings.ToValidUTF8(line[:lastWordsShown], "") + "..."
	}
	return line
}
