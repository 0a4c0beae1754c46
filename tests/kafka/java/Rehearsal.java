import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

/** Runs the tools that tests run, once each, so that the archive of this run knows their classes. */
public class Rehearsal {
    interface Main { void run(String[] args) throws Exception; }

    public static void main(String[] args) throws Exception {
        Exit.setExitProcedure((code, message) -> { throw new Error("exit " + code + " " + message); });
        var out = System.out;
        System.setOut(new java.io.PrintStream(java.io.OutputStream.nullOutputStream()));
        System.setIn(new java.io.ByteArrayInputStream("key:value\n".getBytes()));
        String s = args[0];
        run(org.apache.kafka.tools.TopicCommand::main, s, "--create", "--topic", "rehearsal", "--partitions", "2");
        run(org.apache.kafka.tools.TopicCommand::main, s, "--describe");
        run(org.apache.kafka.tools.ConsoleProducer::main, s, "--topic", "rehearsal",
            "--property", "parse.key=true", "--property", "key.separator=:");
        run(org.apache.kafka.tools.consumer.ConsoleConsumer::main, s, "--topic", "rehearsal", "--from-beginning",
            "--max-messages", "1", "--timeout-ms", "30000");
        run(org.apache.kafka.tools.consumer.group.ConsumerGroupCommand::main, s, "--list");
        run(kafka.admin.ConfigCommand::main, s, "--describe", "--entity-type", "topics", "--entity-name", "rehearsal");
        run(org.apache.kafka.tools.GetOffsetShell::main, s, "--topic", "rehearsal");
    }

    /** What a tool says about its own end is no matter here. */
    static void run(Main tool, String servers, String... args) throws Exception {
        var all = new ArrayList<>(List.of("--bootstrap-server", servers));
        all.addAll(List.of(args));
        try {
            tool.run(all.toArray(new String[0]));
        } catch (Error | Exception ended) {
            // Exit was asked for.
        }
    }
}
