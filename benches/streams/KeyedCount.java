import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/** Counts records by key, as examples/keyed-count does: input, output, and settings as name=value. */
public class KeyedCount {
    public static void main(String[] args) {
        var settings = new Properties();
        for (int n = 2; n < args.length; n++) {
            var parts = args[n].split("=", 2);
            settings.setProperty(parts[0], parts[1]);
        }
        var builder = new StreamsBuilder();
        builder.stream(args[0], Consumed.with(Serdes.String(), Serdes.ByteArray()))
            .groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
            .count(Materialized.with(Serdes.String(), Serdes.Long()))
            .toStream()
            .mapValues((key, count) -> "{\"key\":\"" + key + "\",\"count\":" + count + "}")
            .to(args[1], Produced.with(Serdes.String(), Serdes.String()));
        new KafkaStreams(builder.build(), settings).start();
    }
}
