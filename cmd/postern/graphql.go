package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/gateway"
)

type graphqlCmd struct {
	Query     string            `arg:"" help:"The query or mutation, or - to read it from standard input."`
	Variables map[string]string `short:"v" help:"Variables, each NAME=JSON or NAME=text." placeholder:"NAME=VALUE" mapsep:"none"`
	Key       string            `help:"The API key. Default: the admin key of the data folder." env:"POSTERN_API_KEY"`
}

func (g graphqlCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	if g.Query == "-" {
		b, err := io.ReadAll(e.stdin)
		if err != nil {
			return err
		}
		g.Query = string(b)
	}
	if g.Key == "" {
		b, err := os.ReadFile(gateway.AdminKeyFile(cfg))
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("there is no %s: give a key with --key or POSTERN_API_KEY; %s", gateway.AdminKeyFile(cfg), gateway.NewKeyHint)
		}
		if err != nil {
			return fmt.Errorf("read the admin key: %w", err)
		}
		g.Key = strings.TrimSpace(string(b))
	}
	vars := map[string]any{}
	for name, text := range g.Variables {
		var v any = text
		if json.Unmarshal([]byte(text), &v) != nil {
			v = text
		}
		vars[name] = v
	}
	scheme := "http"
	if cfg.HTTP.TLSCert != "" {
		scheme = "https"
	}
	c := &client{url: scheme + "://" + cfg.HTTP.Listen + "/graphql", key: g.Key, http: &http.Client{Timeout: time.Minute}}
	resp, err := c.raw(e.ctx, g.Query, vars)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, resp, "", "  "); err != nil {
		return fmt.Errorf("the gateway answered no JSON: %w", err)
	}
	fmt.Fprintln(e.stdout, out.String())
	var failed struct{ Errors []json.RawMessage }
	if json.Unmarshal(resp, &failed) == nil && len(failed.Errors) > 0 {
		return errors.New("the query failed")
	}
	return nil
}

// client is a small GraphQL client, for the commands.
type client struct {
	url, key string
	http     *http.Client
}

func (c *client) raw(ctx context.Context, query string, vars map[string]any) ([]byte, error) {
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.key)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no gateway answers: %w", err)
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 64<<20))
}

// do runs a query and decodes its data.
func (c *client) do(ctx context.Context, query string, vars map[string]any, data any) error {
	raw, err := c.raw(ctx, query, vars)
	if err != nil {
		return err
	}
	var resp struct {
		Data   json.RawMessage
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal(raw, &resp); err != nil {
		return fmt.Errorf("the gateway answered no GraphQL: %w", err)
	}
	if len(resp.Errors) > 0 {
		return errors.New(resp.Errors[0].Message)
	}
	return json.Unmarshal(resp.Data, data)
}
