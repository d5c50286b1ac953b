// Command kube-state-metrics is the upstream exporter, built from its own module.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/kube-state-metrics/v2/pkg/app"
	"k8s.io/kube-state-metrics/v2/pkg/options"
)

// Upstream's own main.go differs in one thing: it starts anew when a configuration file changes. That part
// is internal to its module, and nothing here changes those files.
func main() {
	opts := options.NewOptions()
	cmd := options.InitCommand
	cmd.Run = func(*cobra.Command, []string) {
		if err := app.RunKubeStateMetricsWrapper(context.Background(), opts); err != nil {
			fail(err)
		}
	}
	opts.AddFlags(cmd)
	// Parse is what runs the command, and upstream checks the options afterwards.
	if err := errors.Join(opts.Parse(), opts.Validate()); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
