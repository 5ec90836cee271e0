import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.ValidationSupportContext;
import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.core.util.Separators;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.r4.model.StructureDefinition;

/** Writes the snapshot into every profile of a folder, from its differential and the base definitions of FHIR R4. */
public class Snapshots {
  private final FhirContext context;
  private final SnapshotGeneratingValidationSupport generator;
  private final ValidationSupportContext bases;
  private final ObjectMapper mapper = new ObjectMapper().enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS);
  private final ObjectWriter writer;

  Snapshots(FhirContext context) {
    this.context = context;
    generator = new SnapshotGeneratingValidationSupport(context);
    bases = new ValidationSupportContext(
        new ValidationSupportChain(new DefaultProfileValidationSupport(context), generator));
    var indent = new DefaultIndenter("  ", "\n");
    var layout = new DefaultPrettyPrinter(
        Separators.createDefaultInstance().withObjectFieldValueSpacing(Separators.Spacing.AFTER));
    layout.indentArraysWith(indent);
    layout.indentObjectsWith(indent);
    writer = mapper.writer(layout);
  }

  public static void main(String[] folders) throws IOException {
    Snapshots snapshots = new Snapshots(FhirContext.forR4());
    for (Path file : profiles(Path.of(folders[0]))) Files.writeString(file, snapshots.renewed(file));
    System.exit(0); // HAPI leaves threads behind
  }

  static List<Path> profiles(Path folder) throws IOException {
    try (Stream<Path> found = Files.list(folder)) {
      return found.filter(path -> path.toString().endsWith(".json")).sorted().toList();
    }
  }

  /** The text of a profile with its snapshot made anew; everything else, and the layout, stays as it is. */
  String renewed(Path file) throws IOException {
    String text = Files.readString(file);
    StructureDefinition profile = context.newJsonParser().parseResource(StructureDefinition.class, text);
    profile.setSnapshot(null);
    var made = (StructureDefinition) generator.generateSnapshot(bases, profile, profile.getUrl(), "", profile.getName());
    JsonNode snapshot = mapper.readTree(context.newJsonParser().encodeResourceToString(made)).get("snapshot");
    // How the base maps to v2, RIM and others says nothing of the profile, and would be a third of the file.
    for (JsonNode element : snapshot.get("element")) ((ObjectNode) element).remove("mapping");
    ObjectNode whole = mapper.createObjectNode();
    for (var field : mapper.readTree(text).properties()) {
      if (field.getKey().equals("differential")) whole.set("snapshot", snapshot);
      if (!field.getKey().equals("snapshot")) whole.set(field.getKey(), field.getValue());
    }
    return writer.writeValueAsString(whole) + "\n";
  }
}
