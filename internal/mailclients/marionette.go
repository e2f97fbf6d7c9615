package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// marionette speaks Firefox's remote protocol, which Thunderbird has too: JSON
// arrays with their length in front, [0, id, command, parameters] there and
// [1, id, error, result] back.
type marionette struct {
	conn net.Conn
	r    *bufio.Reader
	id   int
}

func openMarionette(address string) (*marionette, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	m := &marionette{conn: conn, r: bufio.NewReader(conn)}
	if _, err := m.read(); err != nil { // its greeting
		_ = conn.Close()
		return nil, err
	}
	return m, nil
}

func (m *marionette) read() ([]byte, error) {
	length, err := m.r.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(m.r, b)
	return b, err
}

func (m *marionette) command(name string, params any) (json.RawMessage, error) {
	m.id++
	b, err := json.Marshal([]any{0, m.id, name, params})
	if err != nil {
		return nil, err
	}
	if err := m.conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(b), b); err != nil {
		return nil, err
	}
	for {
		b, err := m.read()
		if err != nil {
			return nil, err
		}
		var answer []json.RawMessage
		if err := json.Unmarshal(b, &answer); err != nil || len(answer) != 4 {
			return nil, fmt.Errorf("marionette: %.200s", b)
		}
		if string(answer[1]) != strconv.Itoa(m.id) {
			continue
		}
		if string(answer[2]) != "null" {
			return nil, fmt.Errorf("marionette: %s: %.500s", name, answer[2])
		}
		return answer[3], nil
	}
}

// run runs an asynchronous function's body in the program and gives what it
// returned. The arguments are a[0], a[1]...
func (m *marionette) run(body string, args ...any) (json.RawMessage, error) {
	script := `let done = arguments[arguments.length - 1], a = arguments;
(async () => {` + body + `})().then(r => done({ok: r === undefined ? null : r}), e => done({err: String(e) + ' ' + (e && e.stack || '')}));`
	if args == nil {
		args = []any{}
	}
	b, err := m.command("WebDriver:ExecuteAsyncScript", map[string]any{"script": script, "args": args, "newSandbox": false})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Value struct {
			OK  json.RawMessage
			Err string
		}
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, err
	}
	if answer.Value.Err != "" {
		return nil, fmt.Errorf("%s", answer.Value.Err)
	}
	return answer.Value.OK, nil
}
