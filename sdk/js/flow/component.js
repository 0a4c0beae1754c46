// The module that is made the component: the plugin, and the host's state and log for it.
import state from "flow:processor/state@1.0.0";
import log from "flow:processor/log@1.0.0";
import { exported, host } from "./index.js";
import plugin from "../plugin.js";

host.state = state;
host.log = log;

export const { lifecycle, timer, reconfigure, migrate } = exported(plugin);
