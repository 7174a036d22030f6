package installer

import (
	"testing"

	"github.com/nuboctl/nuboctl/pkg/installer/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }
