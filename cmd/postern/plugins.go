package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/postern-mail/postern/internal/gateway"
	"github.com/postern-mail/postern/internal/pluginhost"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest"
)

type pluginsCmd struct {
	List pluginsListCmd `cmd:"" help:"List the plugins that are found, their settings, and the running instances."`
	Test pluginsTestCmd `cmd:"" help:"Run the conformance suite on a plugin's binary."`
}

type pluginsListCmd struct {
	JSON bool `help:"Print JSON."`
}

// pluginsListing is what `postern plugins list` prints.
type pluginsListing struct {
	Found     []foundPlugin       `json:"found"`
	Instances []gateway.PluginRow `json:"instances"`
}

type foundPlugin struct {
	Name     string             `json:"name"`
	Path     string             `json:"path"`
	SHA256   string             `json:"sha256"`
	Title    string             `json:"title,omitempty"`
	Version  string             `json:"version,omitempty"`
	Settings []provider.Setting `json:"settings,omitempty"`
	Error    string             `json:"error,omitempty"`
}

func (p pluginsListCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	dirs, err := pluginhost.DefaultDirs(cfg.Plugins.Dir)
	if err != nil {
		return err
	}
	found, err := pluginhost.Find(dirs)
	if err != nil {
		return err
	}
	var out pluginsListing
	for _, b := range found {
		out.Found = append(out.Found, look(e.ctx, b))
	}
	err = gateway.Call(e.ctx, cfg, "GET", "/plugins", &out.Instances)
	running := !errors.Is(err, gateway.ErrNotRunning)
	if err != nil && running {
		return err
	}
	if p.JSON {
		return e.printJSON(out)
	}
	for _, f := range out.Found {
		fmt.Fprintf(e.stdout, "%s  %s %s\n  file    %s\n  sha256  %s\n", f.Name, f.Title, f.Version, f.Path, f.SHA256)
		if f.Error != "" {
			fmt.Fprintf(e.stdout, "  error   %s\n", f.Error)
		}
		w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
		for _, s := range f.Settings {
			note := ""
			if s.Required {
				note = " (required)"
			} else if s.Default != "" {
				note = " (default " + s.Default + ")"
			}
			fmt.Fprintf(w, "  settings.%s\t%s%s\n", s.Name, s.Doc, note)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if !running {
		fmt.Fprintln(e.stdout, "No gateway runs on this data folder.")
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "INSTANCE\tPLUGIN\tVERSION\tSTATE\tRESTARTS\tPID")
	for _, r := range out.Instances {
		state := r.State
		if r.Reason != "" {
			state += ": " + r.Reason
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\n", r.Instance, r.Plugin, r.Version, state, r.Restarts, r.PID)
	}
	return w.Flush()
}

// look starts a plugin only to ask what it says of itself.
func look(ctx context.Context, b pluginhost.Binary) foundPlugin {
	f := foundPlugin{Name: b.Name, Path: b.Path}
	var err error
	if f.SHA256, err = pluginhost.Sum(b.Path); err == nil {
		err = launched(ctx, b.Path, func(p provider.Provider) error {
			info, err := p.Describe(ctx)
			if err == nil {
				f.Title, f.Version, f.Settings = info.Title, info.Version, info.Settings
			}
			return err
		})
	}
	if err != nil {
		f.Error = err.Error()
	}
	return f
}

// launched runs fn with a plugin's process.
func launched(ctx context.Context, path string, fn func(provider.Provider) error) error {
	proc, err := pluginhost.Launch(ctx, pluginhost.LaunchOptions{Path: path, Timeout: 15 * time.Second})
	if err != nil {
		return err
	}
	defer proc.Stop()
	return fn(proc.Provider)
}

type pluginsTestCmd struct {
	Path  string `arg:"" type:"existingfile" help:"The plugin's binary."`
	World string `required:"" type:"existingfile" placeholder:"FILE" help:"The YAML file with settings and the hooks of the outside world."`
}

func (p pluginsTestCmd) Run(e *env) error {
	world, err := providertest.LoadWorld(p.World)
	if err != nil {
		return usageError{err}
	}
	var report providertest.Report
	err = launched(e.ctx, p.Path, func(pr provider.Provider) error {
		report = providertest.RunSuite(e.ctx, pr, world, e.stdout)
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("start %s: %w", p.Path, err)
	case !report.OK():
		return errors.New("the plugin does not keep the contract")
	}
	if err := report.Complete(); err != nil {
		return fmt.Errorf("too little was tested: %w", err)
	}
	return nil
}
